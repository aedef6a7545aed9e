// Code generated from webapps/shop by go generate ./server/demo; DO NOT EDIT.

package shop

import (
	"errors"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// Order is a cart that was paid for. The last one stays in the session, so that
// a reload of the thank-you page shows it again.
type Order struct {
	Number string    `cbor:"no"`
	Placed time.Time `cbor:"at"`
	Name   string    `cbor:"name"`
	Cart   Cart      `cbor:"cart"`
}

// orderAttribute is the last order's name in the session.
const orderAttribute = "order"

// form is the checkout form as it was filled in, with what is wrong with it.
type form struct {
	Cart                 Cart
	Name, Email, Address string
	Problems             map[string]string // by field
}

// limits of the form's fields, in bytes.
const (
	maxField   = 200
	maxAddress = 1000
)

func readForm(r *http.Request, c Cart) form {
	f := form{
		Cart:     c,
		Name:     strings.TrimSpace(r.PostFormValue("name")),
		Email:    strings.TrimSpace(r.PostFormValue("email")),
		Address:  strings.TrimSpace(r.PostFormValue("address")),
		Problems: map[string]string{},
	}
	if f.Name == "" || len(f.Name) > maxField {
		f.Problems["name"] = "Please tell us your name."
	}
	if a, err := mail.ParseAddress(f.Email); err != nil || a.Address != f.Email || len(f.Email) > maxField {
		f.Problems["email"] = "That does not look like an e-mail address."
	}
	if f.Address == "" || len(f.Address) > maxAddress {
		f.Problems["address"] = "Where shall we send it?"
	}
	return f
}

func showCheckout(w http.ResponseWriter, r *http.Request) {
	c := cartOf(r)
	if c.Count() == 0 {
		goTo(w, r, "/cart")
		return
	}
	show(w, r, http.StatusOK, "checkout", "Checkout", form{Cart: c})
}

// placeOrder turns the cart into an order. The session gets a new id, as it
// should wherever something of value begins (session fixation).
func placeOrder(w http.ResponseWriter, r *http.Request) {
	c := cartOf(r)
	if c.Count() == 0 {
		goTo(w, r, "/cart")
		return
	}
	f := readForm(r, c)
	if len(f.Problems) > 0 {
		show(w, r, http.StatusUnprocessableEntity, "checkout", "Checkout", f)
		return
	}
	s := servlet.SessionOf(r)
	now := time.Now()
	number := strings.ToUpper(strconv.FormatInt(now.UnixMilli(), 36))
	o := Order{Number: number, Placed: now, Name: f.Name, Cart: c}
	_, err := s.ChangeID()
	if err = errors.Join(err, servlet.Set(s, orderAttribute, o), servlet.Remove(s, attribute)); err != nil {
		servlet.Fail(w, r, err)
		return
	}
	servlet.ContextOf(r).Logger().Info("order placed", "order", o.Number, "pieces", c.Count(), "cents", c.Total())
	goTo(w, r, "/order")
}

func showOrder(w http.ResponseWriter, r *http.Request) {
	s := servlet.ExistingSession(r)
	if s == nil {
		goTo(w, r, "/")
		return
	}
	o, err := servlet.Get[Order](s, orderAttribute)
	if err != nil {
		goTo(w, r, "/")
		return
	}
	show(w, r, http.StatusOK, "order", "Thank you", o)
}
