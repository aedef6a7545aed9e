// Package tomltree reads a TOML 1.0 document into a tree that knows the line and
// column of each key and value.
//
// The document's syntax and values are github.com/BurntSushi/toml's business,
// which keeps no positions that can be asked for. So the text is read twice more: before,
// to bound what a hostile document may cost (nesting, dotted keys), and after,
// to find where each key and value stands. The second reading relies on the
// text being valid TOML and only has to tell strings, brackets and keys apart.
//
// Package stricttoml binds such a tree to structs; package descriptor walks it
// itself, because a descriptor's tables stand for elements in an order.
package tomltree
