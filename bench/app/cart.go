package bench

import (
	"fmt"
	"strings"
)

var words = strings.Fields("cotton linen merino classic slim fit shirt jacket blue black olive waterproof hooded " +
	"with zipped pockets and reinforced seams ships within two working days free returns " +
	"customer favourite rated four point seven made from recycled fibres machine wash cold " +
	"limited edition outdoor trail running lightweight breathable everyday comfort")

// prose is deterministic English-like text of exactly length characters, the
// same as the Java application's of the same seed.
func prose(seed uint64, length int) string {
	var b strings.Builder
	b.Grow(length + 16)
	x := seed*0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019
	for b.Len() < length {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b.WriteString(words[(x>>33)%uint64(len(words))])
		b.WriteByte(' ')
	}
	return b.String()[:length]
}

// Item is one line of a Cart.
type Item struct {
	SKU        string `cbor:"sku"`
	Name       string `cbor:"name"`
	Qty        int    `cbor:"qty"`
	PriceCents int64  `cbor:"price"`
	Note       string `cbor:"note"`
}

// Cart is the larger session attribute.
type Cart struct {
	Version int    `cbor:"version"`
	Items   []Item `cbor:"items"`
}

// newCart makes a cart of about size bytes, of one item at least.
func newCart(size int) *Cart {
	c := &Cart{Items: make([]Item, max(1, size/256))}
	for i := range c.Items {
		n := uint64(i)
		c.Items[i] = Item{
			SKU:        fmt.Sprintf("SKU-%06d", i),
			Name:       prose(n, 40),
			Qty:        1,
			PriceCents: 999 + 100*int64(i),
			Note:       prose(1000+n, 190),
		}
	}
	return c
}

// touch changes one item: which one follows from the version alone.
func (c *Cart) touch() *Item {
	c.Version++
	it := &c.Items[c.Version*7919%len(c.Items)]
	it.Qty = c.Version
	it.Note = prose(uint64(c.Version), 190)
	return it
}

// sum is that over quantity × place: the load generator knows what it must be.
func (c *Cart) sum() int64 {
	var s int64
	for i := range c.Items {
		s += int64(c.Items[i].Qty) * int64(i+1)
	}
	return s
}
