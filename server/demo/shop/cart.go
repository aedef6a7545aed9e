// Code generated from webapps/shop by go generate ./server/demo; DO NOT EDIT.

package shop

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/serval-server/serval/webapp/servlet"
)

// Cart is what the user has chosen. It is a session attribute: any type that
// can be encoded can be one, there is nothing to register or implement.
type Cart struct {
	Lines []Line `cbor:"lines"`
}

// Line is one product in the cart. It keeps the id and not the product, so that
// the cart always shows today's price.
type Line struct {
	ID    string `cbor:"id"`
	Count int    `cbor:"n"`
}

// maxCount is how much of one product a cart takes.
const maxCount = 9

// attribute is the cart's name in the session.
const attribute = "cart"

// cartOf is the user's cart, empty if there is none. Looking makes no session.
func cartOf(r *http.Request) Cart {
	s := servlet.ExistingSession(r)
	if s == nil {
		return Cart{}
	}
	c, err := servlet.Get[Cart](s, attribute)
	if err != nil && !errors.Is(err, servlet.ErrNoAttribute) {
		servlet.ContextOf(r).Logger().Warn("the cart cannot be read and is empty", "error", err)
	}
	return c
}

// updateCart changes the cart atomically: two tabs that add something at the
// same time both succeed. The function may run again if another request was
// faster, so it must do nothing but change the cart.
func updateCart(r *http.Request, change func(*Cart)) error {
	return servlet.Update(servlet.SessionOf(r), attribute, func(c Cart, _ bool) (Cart, error) {
		change(&c)
		return c, nil
	})
}

// Count is the number of pieces.
func (c Cart) Count() int {
	n := 0
	for _, l := range c.Lines {
		n += l.Count
	}
	return n
}

// Entry is a line with its product.
type Entry struct {
	Product
	Count int
}

// Entries are the lines of products that are still sold.
func (c Cart) Entries() []Entry {
	var out []Entry
	for _, l := range c.Lines {
		if p, ok := find(l.ID); ok {
			out = append(out, Entry{p, l.Count})
		}
	}
	return out
}

// Total is the price of everything, in cents.
func (c Cart) Total() int64 {
	var sum int64
	for _, e := range c.Entries() {
		sum += int64(e.Count) * e.Price
	}
	return sum
}

// Set puts n pieces of a product into the cart, at most maxCount; none removes it.
func (c *Cart) Set(id string, n int) {
	n = min(max(n, 0), maxCount)
	for i := range c.Lines {
		if c.Lines[i].ID != id {
			continue
		}
		if n == 0 {
			c.Lines = append(c.Lines[:i], c.Lines[i+1:]...)
		} else {
			c.Lines[i].Count = n
		}
		return
	}
	if n > 0 {
		c.Lines = append(c.Lines, Line{id, n})
	}
}

// countOf is how many pieces of a product there are.
func (c Cart) countOf(id string) int {
	for _, l := range c.Lines {
		if l.ID == id {
			return l.Count
		}
	}
	return 0
}

func showCart(w http.ResponseWriter, r *http.Request) {
	show(w, r, http.StatusOK, "cart", "Your cart", cartOf(r))
}

func addToCart(w http.ResponseWriter, r *http.Request) {
	p, ok := find(r.PostFormValue("id"))
	if !ok {
		notFound(w, r)
		return
	}
	if err := updateCart(r, func(c *Cart) { c.Set(p.ID, c.countOf(p.ID)+1) }); err != nil {
		servlet.Fail(w, r, err)
		return
	}
	goTo(w, r, "/cart")
}

func changeCart(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PostFormValue("count"))
	p, ok := find(r.PostFormValue("id"))
	if err != nil || !ok {
		notFound(w, r)
		return
	}
	if err := updateCart(r, func(c *Cart) { c.Set(p.ID, n) }); err != nil {
		servlet.Fail(w, r, err)
		return
	}
	goTo(w, r, "/cart")
}
