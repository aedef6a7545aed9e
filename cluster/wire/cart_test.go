package wire

import (
	"fmt"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// The bench application's cart (bench/app/cart.go), encoded as package servlet
// encodes attributes: what /cart?size=S changes per request is one item's
// quantity and note, and the version at the end.

var cartWords = strings.Fields("cotton linen merino classic slim fit shirt jacket blue black olive waterproof hooded " +
	"with zipped pockets and reinforced seams ships within two working days free returns " +
	"customer favourite rated four point seven made from recycled fibres machine wash cold " +
	"limited edition outdoor trail running lightweight breathable everyday comfort")

func prose(seed uint64, length int) string {
	var b strings.Builder
	x := seed*0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019
	for b.Len() < length {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b.WriteString(cartWords[(x>>33)%uint64(len(cartWords))])
		b.WriteByte(' ')
	}
	return b.String()[:length]
}

type cartItem struct {
	SKU        string `cbor:"sku"`
	Name       string `cbor:"name"`
	Qty        int    `cbor:"qty"`
	PriceCents int64  `cbor:"price"`
	Note       string `cbor:"note"`
}

type cart struct {
	Version int        `cbor:"version"`
	Items   []cartItem `cbor:"items"`
}

func newCart(size int) *cart {
	c := &cart{Items: make([]cartItem, max(1, size/256))}
	for i := range c.Items {
		n := uint64(i)
		c.Items[i] = cartItem{fmt.Sprintf("SKU-%06d", i), prose(n, 40), 1, 999 + 100*int64(i), prose(1000+n, 190)}
	}
	return c
}

func (c *cart) touch() {
	c.Version++
	it := &c.Items[c.Version*7919%len(c.Items)]
	it.Qty = c.Version
	it.Note = prose(uint64(c.Version), 190)
}

var cartEncoding = sync.OnceValue(func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
})

func (c *cart) encode() []byte {
	b, err := cartEncoding().Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

// carts are n successive versions of a cart.
func carts(size, n int) [][]byte {
	c := newCart(size)
	out := make([][]byte, n)
	for i := range out {
		c.touch()
		out[i] = c.encode()
	}
	return out
}
