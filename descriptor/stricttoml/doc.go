// Package stricttoml reads TOML into Go structs and complains precisely.
//
// A configuration file is written by people, so the reader has to say where
// they erred. The usual decoders stop at the first value of a wrong type, name
// unknown keys without a line, and know nothing of elements of arrays of
// tables. This package takes a document with the position of every key from
// package tomltree and binds it to a struct by reflection. It reports all problems of a file, each with line and
// column, and for an unknown key the nearest key that is known in that table.
//
// Struct fields are named by their toml tag; a field without a tag, or with the
// tag "-", is not a key. A type that implements encoding.TextUnmarshaler takes a
// string (or an integer, as its decimal text). A struct that implements
// Defaulter is given its defaults before its keys are bound, which is how
// elements of an array of tables get theirs.
//
// A tree can be changed between parsing and binding (Tree.Set), so that a
// command line can override any key of a file.
package stricttoml
