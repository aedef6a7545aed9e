package xmltree

import (
	"strings"
)

// entity is a declared general or parameter entity.
type entity struct {
	name     string
	text     string // replacement text
	external bool
	unparsed bool // NDATA
	systemID string
	open     bool // being expanded: a reference to it now is a cycle
}

// doctype reads a document type declaration.
func (p *parser) doctype(in *input) error {
	d := &Doctype{Pos: in.pos()}
	p.doc.Doctype = d
	start := in.off
	in.off += len("<!DOCTYPE")
	if !in.space() {
		return in.errorf("expected white space after <!DOCTYPE, found %s", in.next())
	}
	if d.Name = in.name(); d.Name == "" {
		return in.errorf("expected the root element's name after <!DOCTYPE, found %s", in.next())
	}
	spaced := in.space()
	if in.has("SYSTEM") || in.has("PUBLIC") {
		if !spaced {
			return in.errorf("expected white space after the DOCTYPE's name")
		}
		var err error
		if d.PublicID, d.SystemID, err = p.externalID(in, false); err != nil {
			return err
		}
		p.external = true
		in.space()
	}
	if in.accept("[") {
		if err := p.subset(in, 0); err != nil {
			return err
		}
		if !in.accept("]") {
			in.off = start
			return in.errorf("the internal subset of the DOCTYPE is not closed")
		}
		in.space()
	}
	if !in.accept(">") {
		return in.errorf("expected \">\" at the end of the DOCTYPE, found %s (a comment is allowed only between \"[\" and \"]\")", in.next())
	}
	return nil
}

// externalID reads SYSTEM "..." or PUBLIC "..." "..."; of a notation the system
// identifier may be absent.
func (p *parser) externalID(in *input, notation bool) (public, system string, err error) {
	isPublic := in.has("PUBLIC")
	in.off += len("PUBLIC") // as long as SYSTEM
	if !in.space() {
		return "", "", in.errorf("expected white space and a quoted identifier, found %s", in.next())
	}
	if isPublic {
		at := in.off
		if public, _, err = in.quoted("public identifier"); err != nil {
			return "", "", err
		}
		for i := range len(public) {
			if !isPubidChar(public[i]) {
				in.off = at + 1 + i
				return "", "", in.errorf("%s is not allowed in a public identifier", in.next())
			}
		}
		spaced := in.space()
		if notation && (in.eof() || in.s[in.off] != '"' && in.s[in.off] != '\'') {
			return public, "", nil
		}
		if !spaced {
			return "", "", in.errorf("expected white space between the public and the system identifier, found %s", in.next())
		}
	}
	system, _, err = in.quoted("system identifier")
	return public, system, err
}

// subset reads markup declarations up to "]" or the end of a parameter entity's text.
func (p *parser) subset(in *input, depth int) error {
	for {
		in.space()
		var err error
		switch {
		case in.eof() || in.has("]"):
			return nil
		case in.has("<!--"):
			err = p.comment(in)
		case in.has("<?"):
			err = p.instruction(in)
		case in.has("%"):
			err = p.parameterRef(in, depth)
		case in.has("<!ENTITY"):
			err = p.entityDecl(in)
		case in.has("<!ELEMENT"):
			err = p.skipDecl(in, "<!ELEMENT")
		case in.has("<!ATTLIST"):
			err = p.skipDecl(in, "<!ATTLIST")
		case in.has("<!NOTATION"):
			err = p.notationDecl(in)
		default:
			return in.errorf("expected a declaration in the DOCTYPE's internal subset, found %s", in.next())
		}
		if err != nil {
			return err
		}
	}
}

// parameterRef expands %name; between declarations. One that lies outside of the
// document is not read; what follows it is then not reliable (§5.1), so it is
// read on for well-formedness only.
func (p *parser) parameterRef(in *input, depth int) error {
	at := in.pos()
	start := in.off
	in.off++
	name := in.name()
	if name == "" || !in.accept(";") {
		in.off = start
		return in.errorf("expected the reference of a parameter entity, as in \"%%name;\"")
	}
	e := p.params[name]
	switch {
	case e == nil:
		p.external = true // it may be declared in what we do not read
		return nil
	case e.external:
		p.external = true
		return nil
	case e.open:
		return &Error{at, "the parameter entity %" + name + "; refers to itself"}
	case depth >= p.lim.Nesting:
		return &Error{at, "parameter entities are nested too deeply"}
	}
	if err := p.expand(e, at); err != nil {
		return err
	}
	e.open = true
	sub := &input{s: e.text, fixed: &at}
	err := p.subset(sub, depth+1)
	e.open = false
	if err == nil && !sub.eof() {
		err = &Error{at, "the parameter entity %" + name + "; does not hold whole declarations"}
	}
	return err
}

// entityDecl reads <!ENTITY name "value"> and its relatives.
func (p *parser) entityDecl(in *input) error {
	start := in.off
	in.off += len("<!ENTITY")
	if !in.space() {
		return in.errorf("expected white space after <!ENTITY")
	}
	table := p.entities
	if in.accept("%") {
		table = p.params
		if !in.space() {
			return in.errorf("expected white space after \"%%\"")
		}
	}
	e := &entity{name: in.name()}
	if e.name == "" || strings.Contains(e.name, ":") {
		return in.errorf("expected an entity's name (without a colon), found %s", in.next())
	}
	if !in.space() {
		return in.errorf("expected white space after the entity's name")
	}
	if err := p.entityValue(in, e, start); err != nil {
		return err
	}
	in.space()
	if !in.accept(">") {
		return in.errorf("expected \">\" at the end of the entity declaration, found %s", in.next())
	}
	if len(p.entities)+len(p.params) >= p.lim.Entities {
		return in.errorf("more than %d entities are declared", p.lim.Entities)
	}
	if table[e.name] == nil { // the first declaration binds (§4.2)
		table[e.name] = e
	}
	return nil
}

func (p *parser) entityValue(in *input, e *entity, start int) error {
	var err error
	if !in.has("SYSTEM") && !in.has("PUBLIC") {
		raw, at, err := in.quoted("value")
		if err != nil {
			return err
		}
		e.text, err = p.entityLiteral(in, raw, at)
		return err
	}
	e.external = true
	if _, e.systemID, err = p.externalID(in, false); err != nil {
		return err
	}
	spaced := in.space()
	if in.has("NDATA") {
		in.off += len("NDATA")
		if !spaced || !in.space() || in.name() == "" {
			in.off = start
			return in.errorf("bad NDATA of an unparsed entity")
		}
		e.unparsed = true
	}
	return nil
}

// entityLiteral makes an entity's replacement text: character references are
// replaced, references of general entities stay (§4.5).
func (p *parser) entityLiteral(in *input, raw string, at int) (string, error) {
	var b strings.Builder
	lit := &input{s: raw}
	pos := in.at(at)
	lit.fixed = &pos
	for !lit.eof() {
		i := strings.IndexAny(lit.rest(), "&%")
		if i < 0 {
			b.WriteString(lit.rest())
			break
		}
		b.WriteString(lit.rest()[:i])
		lit.off += i
		if lit.has("%") {
			return "", lit.errorf("the reference of a parameter entity is not allowed within a declaration of the internal subset")
		}
		if lit.has("&#") {
			r, err := p.charRef(lit)
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			continue
		}
		start := lit.off
		lit.off++
		if lit.name() == "" || !lit.accept(";") {
			return "", lit.errorf("\"&\" must begin a reference, as in \"&amp;\"")
		}
		b.WriteString(lit.s[start:lit.off])
	}
	return b.String(), nil
}

// skipDecl reads over an element or attribute-list declaration: a reader that does
// not validate has no use for it.
func (p *parser) skipDecl(in *input, intro string) error {
	start := in.off
	in.off += len(intro)
	if !in.space() || in.name() == "" {
		return in.errorf("expected a name after %s", intro)
	}
	for !in.eof() {
		switch c := in.s[in.off]; c {
		case '>':
			in.off++
			return nil
		case '"', '\'':
			if _, _, err := in.quoted("value"); err != nil {
				return err
			}
		case '<', '%':
			if c == '%' && isPercentAlone(in) {
				in.off++
				continue
			}
			return in.errorf("%q is not allowed within a declaration of the internal subset", c)
		default:
			in.off++
		}
	}
	in.off = start
	return in.errorf("the declaration is not closed")
}

// isPercentAlone reports whether the next "%" does not begin a reference.
func isPercentAlone(in *input) bool {
	look := *in
	look.off++
	return look.name() == ""
}

func (p *parser) notationDecl(in *input) error {
	in.off += len("<!NOTATION")
	if !in.space() || in.name() == "" || !in.space() {
		return in.errorf("expected a name and an identifier after <!NOTATION")
	}
	if !in.has("SYSTEM") && !in.has("PUBLIC") {
		return in.errorf("expected SYSTEM or PUBLIC in the notation declaration, found %s", in.next())
	}
	if _, _, err := p.externalID(in, true); err != nil {
		return err
	}
	in.space()
	if !in.accept(">") {
		return in.errorf("expected \">\" at the end of the notation declaration, found %s", in.next())
	}
	return nil
}
