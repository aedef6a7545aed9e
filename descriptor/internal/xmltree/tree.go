package xmltree

import "fmt"

// Pos is a place in the document: line and column from 1, the column in
// characters after decoding. What comes out of an entity has the place of the reference.
type Pos struct{ Line, Col int }

// Error says why a document was refused, and where.
type Error struct {
	Pos Pos
	Msg string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Pos.Line, e.Pos.Col, e.Msg) }

// Limits bounds what a document may cost. A zero field means its default.
type Limits struct {
	Size      int // bytes of the document; 8 MiB
	Depth     int // nested elements; 100
	Elements  int // elements in all; 200,000
	Attrs     int // attributes of one element, and namespaces in scope; 256
	Expansion int // bytes that entities expand to in all; 1 MiB
	Nesting   int // entities within entities; 16
	Entities  int // declared entities; 1,000
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&l.Size, 8<<20)
	set(&l.Depth, 100)
	set(&l.Elements, 200_000)
	set(&l.Attrs, 256)
	set(&l.Expansion, 1<<20)
	set(&l.Nesting, 16)
	set(&l.Entities, 1000)
	return l
}

// Document is a whole document.
type Document struct {
	Root     *Element
	Encoding string // as declared, "" if not
	Doctype  *Doctype
	// Skipped are the references to external entities in the content. They
	// were not followed.
	Skipped []Reference
}

// Doctype is the document type declaration.
type Doctype struct {
	Name, PublicID, SystemID string
	Pos                      Pos
}

// Reference is a place where the document refers to an external entity.
type Reference struct {
	Name     string // of the entity
	SystemID string // what it would have read
	Pos      Pos
}

// Element is an element with its attributes, child elements and text.
type Element struct {
	Space  string // namespace, "" if none
	Prefix string
	Local  string
	Pos    Pos
	Attrs  []Attr // without namespace declarations
	// Children are the child elements in order.
	Children []*Element
	// Text is all character data directly in the element, joined.
	Text string
	// TextPos is where the first character data that is not white space
	// begins; the zero value if there is none.
	TextPos Pos
	// Skipped is true if an external entity was referred to directly in
	// the element, so that its content is not wholly known.
	Skipped bool
}

// Attr is an attribute.
type Attr struct {
	Space, Prefix, Local string
	Value                string
	Pos                  Pos // of the name
	ValuePos             Pos // of the value's first character
}

// Attr returns the value of the attribute without namespace of this name.
func (e *Element) Attr(local string) (string, bool) {
	for i := range e.Attrs {
		if e.Attrs[i].Space == "" && e.Attrs[i].Local == local {
			return e.Attrs[i].Value, true
		}
	}
	return "", false
}
