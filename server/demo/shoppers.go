package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// shoppers are visitors of the shop that look after each step whether their cart is
// what it should be.
type shoppers struct {
	tasks             sync.WaitGroup
	checked, lost, ok atomic.Uint64
}

// pause is how long a shopper thinks.
const pause = 400 * time.Millisecond

func startShoppers(ctx context.Context, base string, count int, n *news) *shoppers {
	s := &shoppers{}
	for i := range count {
		s.tasks.Go(func() {
			v := &visitor{base: base + "/shop", all: s, news: n, random: rand.New(rand.NewPCG(uint64(i), 7))}
			v.run(ctx)
		})
	}
	return s
}

func (s *shoppers) wait() { s.tasks.Wait() }

// visitor is one shopper.
type visitor struct {
	base   string
	all    *shoppers
	news   *news
	random *rand.Rand
	client http.Client
	cart   map[string]int // what must be in the cart
	unsure string         // the product whose last step may have counted or not
}

// products are some that the shop sells.
var products = []string{"tent", "tarp", "bag", "mat", "stove", "pot", "lamp", "map", "compass"}

func (v *visitor) run(ctx context.Context) {
	v.begin()
	defer v.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + time.Duration(v.random.Int64N(int64(pause)))):
		}
		v.step(ctx)
	}
}

// begin makes a new customer of the visitor.
func (v *visitor) begin() {
	jar, _ := cookiejar.New(nil) // it cannot fail without options
	v.client = http.Client{
		Transport: &http.Transport{DisableCompression: true}, Jar: jar, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	v.cart, v.unsure = map[string]int{}, ""
}

// step puts something into the cart and looks at it.
func (v *visitor) step(ctx context.Context) {
	id := products[v.random.IntN(len(products))]
	path, want := "/cart/add", v.cart[id]+1
	form := url.Values{"id": {id}}
	if want > 3 {
		path, want = "/cart/change", 0
		form.Set("count", "0")
	}
	err := v.post(ctx, path, form)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		v.unsure = id
		v.news.add("a shopper's request failed: " + err.Error())
	default:
		v.cart[id] = want
		v.all.ok.Add(1)
	}
	v.check(ctx)
}

func (v *visitor) post(ctx context.Context, path string, form url.Values) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := v.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode != http.StatusSeeOther {
		err = errors.New(res.Status)
	}
	return err
}

var pieces = regexp.MustCompile(`aria-label="Cart, (\d+) pieces"`)

// check compares the number of pieces that the cart's page shows.
func (v *visitor) check(ctx context.Context) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+"/cart", nil)
	if err != nil {
		return
	}
	res, err := v.client.Do(r)
	if err != nil {
		return
	}
	page, err := io.ReadAll(res.Body)
	m := pieces.FindSubmatch(page)
	if errors.Join(err, res.Body.Close()) != nil || res.StatusCode != http.StatusOK || m == nil {
		return
	}
	shown, _ := strconv.Atoi(string(m[1]))
	want := 0
	for _, n := range v.cart {
		want += n
	}
	v.all.checked.Add(1)
	if shown != want && v.unsure == "" {
		v.all.lost.Add(1)
		v.news.add(fmt.Sprintf("a cart has %d pieces instead of %d", shown, want))
	}
	if shown != want {
		v.begin() // with an empty cart, which nobody doubts
	}
	v.unsure = ""
}
