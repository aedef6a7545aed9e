package xmltree

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// parser holds what is known about one document.
type parser struct {
	lim      Limits
	doc      *Document
	entities map[string]*entity
	params   map[string]*entity
	version  string

	standalone bool
	external   bool // part of the DTD lies outside of the document
	expanded   int  // bytes that entities have expanded to
	elements   int
	stack      []*frame
}

// frame is an open element.
type frame struct {
	el   *Element
	raw  string // the name with its prefix
	text []byte
	ns   map[string]string // prefix to namespace; shared with the parent if nothing is declared
}

// Parse reads a whole document. The error is always an [*Error].
func Parse(data []byte, limits Limits) (*Document, error) {
	p := &parser{
		lim:      limits.withDefaults(),
		doc:      &Document{},
		entities: map[string]*entity{},
		params:   map[string]*entity{},
	}
	if len(data) > p.lim.Size {
		return nil, &Error{Pos{1, 1}, fmt.Sprintf("the document has %d bytes, %d are allowed", len(data), p.lim.Size)}
	}
	text, derr := decode(data)
	if derr != nil {
		return nil, derr
	}
	if err := p.document(newInput(text)); err != nil {
		return nil, err
	}
	return p.doc, nil
}

func (p *parser) document(in *input) error {
	if err := p.declaration(in); err != nil {
		return err
	}
	if err := p.misc(in); err != nil {
		return err
	}
	if in.has("<!DOCTYPE") {
		if err := p.doctype(in); err != nil {
			return err
		}
		if err := p.misc(in); err != nil {
			return err
		}
	}
	switch {
	case in.eof():
		return in.errorf("the document has no root element")
	case in.has("<!DOCTYPE"):
		return in.errorf("a document has only one DOCTYPE")
	case !in.has("<"):
		return in.errorf("text is not allowed before the root element")
	}
	if err := p.startTag(in); err != nil {
		return err
	}
	if err := p.content(in, 0, 0); err != nil {
		return err
	}
	if err := p.misc(in); err != nil {
		return err
	}
	if !in.eof() {
		if in.has("<") && !in.has("<!") && !in.has("</") {
			return in.errorf("a document has only one root element, and <%s> has ended", p.doc.Root.Local)
		}
		return in.errorf("nothing but comments is allowed after the root element, found %s", in.next())
	}
	return nil
}

// content reads until the stack is down to base again (the document) or the text
// ends (an entity, whose markup must be balanced within it).
func (p *parser) content(in *input, base, nesting int) error {
	for {
		if in.fixed == nil && len(p.stack) == base {
			return nil
		}
		if in.eof() {
			if len(p.stack) == base {
				return nil
			}
			top := p.stack[len(p.stack)-1]
			return in.errorf("the element <%s> of line %d is not closed", top.raw, top.el.Pos.Line)
		}
		var err error
		switch {
		case in.s[in.off] != '<' && in.s[in.off] != '&':
			err = p.text(in)
		case in.has("&"):
			err = p.reference(in, nesting)
		case in.has("</"):
			err = p.endTag(in, base)
		case in.has("<!--"):
			err = p.comment(in)
		case in.has("<![CDATA["):
			err = p.cdata(in)
		case in.has("<?"):
			err = p.instruction(in)
		case in.has("<!"):
			err = in.errorf("\"<!\" begins neither a comment (<!-- -->) nor a CDATA section here")
		default:
			err = p.startTag(in)
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) text(in *input) error {
	run := in.rest()
	if i := strings.IndexAny(run, "<&"); i >= 0 {
		run = run[:i]
	}
	if i := strings.Index(run, "]]>"); i >= 0 {
		in.off += i
		return in.errorf("\"]]>\" is not allowed in text; write \"]]&gt;\"")
	}
	p.addText(in, run)
	in.off += len(run)
	return nil
}

// addText appends to the open element, noting where its text begins. in.off is at run.
func (p *parser) addText(in *input, run string) {
	top := p.stack[len(p.stack)-1]
	if top.el.TextPos == (Pos{}) {
		if lead := len(run) - len(strings.TrimLeft(run, " \t\n")); lead < len(run) {
			top.el.TextPos = in.at(in.off + lead)
		}
	}
	top.text = append(top.text, run...)
}

func (p *parser) cdata(in *input) error {
	start := in.off
	in.off += len("<![CDATA[")
	i := strings.Index(in.rest(), "]]>")
	if i < 0 {
		in.off = start
		return in.errorf("the CDATA section is not closed")
	}
	p.addText(in, in.rest()[:i])
	in.off += i + 3
	return nil
}

// predefined are the entities that need no declaration (§4.6).
var predefined = map[string]string{"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": `"`}

// reference reads &name; or &#n; in content.
func (p *parser) reference(in *input, nesting int) error {
	at := in.pos()
	top := p.stack[len(p.stack)-1]
	if in.has("&#") {
		r, err := p.charRef(in)
		if err != nil {
			return err
		}
		p.addChar(top, at, string(r))
		return nil
	}
	name, err := p.refName(in)
	if err != nil {
		return err
	}
	if s, ok := predefined[name]; ok {
		p.addChar(top, at, s)
		return nil
	}
	e, err := p.lookup(name, at)
	if err != nil {
		return err
	}
	if e.unparsed {
		return &Error{at, fmt.Sprintf("the unparsed entity &%s; cannot stand in text", name)}
	}
	if e.external {
		top.el.Skipped = true
		p.doc.Skipped = append(p.doc.Skipped, Reference{Name: name, SystemID: e.systemID, Pos: at})
		return nil
	}
	if err := p.enter(e, at, nesting); err != nil {
		return err
	}
	e.open = true
	defer func() { e.open = false }()
	return p.content(&input{s: e.text, fixed: &at}, len(p.stack), nesting+1)
}

func (p *parser) addChar(top *frame, at Pos, s string) {
	if top.el.TextPos == (Pos{}) {
		top.el.TextPos = at
	}
	top.text = append(top.text, s...)
}

func (p *parser) refName(in *input) (string, error) {
	start := in.off
	in.off++
	name := in.name()
	if name == "" || !in.accept(";") {
		in.off = start
		return "", in.errorf("\"&\" must begin a reference, as in \"&amp;\"")
	}
	return name, nil
}

func (p *parser) lookup(name string, at Pos) (*entity, error) {
	if e := p.entities[name]; e != nil {
		return e, nil
	}
	return nil, &Error{at, fmt.Sprintf("the entity &%s; is not declared", name)}
}

// enter checks the bounds before an entity is expanded.
func (p *parser) enter(e *entity, at Pos, nesting int) error {
	if e.open {
		return &Error{at, fmt.Sprintf("the entity &%s; refers to itself", e.name)}
	}
	if nesting >= p.lim.Nesting {
		return &Error{at, fmt.Sprintf("entities are nested more than %d deep", p.lim.Nesting)}
	}
	return p.expand(e, at)
}

func (p *parser) expand(e *entity, at Pos) error {
	// One byte more, so that empty entities are bounded too.
	if p.expanded += len(e.text) + 1; p.expanded > p.lim.Expansion {
		return &Error{at, fmt.Sprintf("the document's entities expand to more than %d bytes", p.lim.Expansion)}
	}
	return nil
}

// charRef reads &#n; or &#xn;.
func (p *parser) charRef(in *input) (rune, error) {
	start := in.off
	end := strings.IndexByte(in.rest(), ';')
	bad := func() (rune, error) {
		in.off = start
		return 0, in.errorf("bad character reference; it is \"&#65;\" or \"&#x41;\"")
	}
	if end < 0 || end > 12 {
		return bad()
	}
	digits, base := in.rest()[2:end], 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return bad()
	}
	if n > 0x10FFFF || !isChar(rune(n)) {
		in.off = start
		return 0, in.errorf("the character U+%04X is not allowed in XML", n)
	}
	in.off += end + 1
	return rune(n), nil
}

// declareNamespaces takes the namespace declarations out of an element's attributes.
func (p *parser) declareNamespaces(f *frame, attrs []Attr) ([]Attr, error) {
	kept := attrs[:0]
	own := false
	for _, a := range attrs {
		prefix := ""
		switch {
		case a.Prefix == "xmlns":
			prefix = a.Local
		case a.Prefix == "" && a.Local == "xmlns":
		default:
			kept = append(kept, a)
			continue
		}
		if err := checkBinding(prefix, a); err != nil {
			return nil, err
		}
		if !own {
			f.ns, own = maps.Clone(f.ns), true
		}
		f.ns[prefix] = a.Value
		if len(f.ns) > p.lim.Attrs {
			return nil, &Error{a.Pos, fmt.Sprintf("more than %d namespaces are declared", p.lim.Attrs)}
		}
	}
	return kept, nil
}

const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

func checkBinding(prefix string, a Attr) error {
	switch {
	case prefix == "xmlns":
		return &Error{a.Pos, "the prefix \"xmlns\" cannot be declared"}
	case (prefix == "xml") != (a.Value == xmlSpace), a.Value == xmlnsSpace:
		return &Error{a.Pos, fmt.Sprintf("the prefix %q cannot be bound to %q", prefix, a.Value)}
	case prefix != "" && a.Value == "":
		return &Error{a.Pos, fmt.Sprintf("the prefix %q is bound to nothing", prefix)}
	}
	return nil
}
