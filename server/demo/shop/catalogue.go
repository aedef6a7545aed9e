// Code generated from webapps/shop by go generate ./server/demo; DO NOT EDIT.

package shop

import (
	"fmt"
	"slices"
)

// Money is an amount in euro cents.
type Money int64

// String is the amount with its currency, "€ 12.50".
func (m Money) String() string { return fmt.Sprintf("€ %d.%02d", m/100, m%100) }

// Product is something the shop sells.
type Product struct {
	ID, Name, Kind string
	Text           string
	Price          int64  // cents
	Art            string // name of the drawing in art.svg
	Hue            int    // of its card, degrees
}

// catalogue is everything that is sold. A real shop would ask a database,
// which a worker can: it is an ordinary Go program.
var catalogue = []Product{
	{"tent", "Two-person tent", "shelter", "Stands in three minutes, weighs less than two kilos and keeps the rain where it belongs.", 24900, "tent", 150},
	{"tarp", "Silnylon tarp", "shelter", "Three by three metres of roof with eight guy lines. Packs to the size of a fist.", 8900, "tarp", 95},
	{"bag", "Down sleeping bag", "sleep", "Comfortable to minus five. The zip opens from either end, the hood closes around your nose.", 18950, "bag", 265},
	{"mat", "Insulated mat", "sleep", "Seven centimetres of air and an R-value of 4.2, inflated with its own bag in ten breaths.", 11900, "mat", 205},
	{"stove", "Gas stove", "kitchen", "Boils half a litre in two and a half minutes. Folds into its own pot.", 5490, "stove", 20},
	{"pot", "Titanium pot", "kitchen", "Nine hundred millilitres, with a lid that strains and a handle that stays cool.", 4250, "pot", 45},
	{"lamp", "Head lamp", "light", "Four hundred lumens, a red light for the tent, and a lock so that it does not shine in your bag.", 3990, "lamp", 52},
	{"map", "Topographic map", "finding", "Waterproof, 1:25 000, with contour lines every ten metres. Never runs out of battery.", 1290, "map", 120},
	{"compass", "Sighting compass", "finding", "With a mirror, a clinometer and adjustable declination.", 4690, "compass", 340},
}

func find(id string) (Product, bool) {
	i := slices.IndexFunc(catalogue, func(p Product) bool { return p.ID == id })
	if i < 0 {
		return Product{}, false
	}
	return catalogue[i], true
}

// kinds are the kinds of products in the order of the catalogue.
func kinds() []string {
	var out []string
	for _, p := range catalogue {
		if !slices.Contains(out, p.Kind) {
			out = append(out, p.Kind)
		}
	}
	return out
}
