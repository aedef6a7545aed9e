package xmltree

import (
	"fmt"
	"strings"
)

// startTag reads <name attr="value" ...> or <name .../> and opens the element.
func (p *parser) startTag(in *input) error {
	f := &frame{el: &Element{Pos: in.pos()}, ns: map[string]string{"xml": xmlSpace}}
	in.off++
	if f.raw = in.name(); f.raw == "" {
		return in.errorf("expected an element's name after \"<\", found %s (a \"<\" in text is written \"&lt;\")", in.next())
	}
	if len(p.stack) > 0 {
		f.ns = p.stack[len(p.stack)-1].ns
	}
	if len(p.stack) >= p.lim.Depth {
		return &Error{f.el.Pos, fmt.Sprintf("elements are nested more than %d deep", p.lim.Depth)}
	}
	if p.elements++; p.elements > p.lim.Elements {
		return &Error{f.el.Pos, fmt.Sprintf("the document has more than %d elements", p.lim.Elements)}
	}
	attrs, empty, err := p.attributes(in, f)
	if err != nil {
		return err
	}
	if attrs, err = p.declareNamespaces(f, attrs); err != nil {
		return err
	}
	if err := p.resolve(f, attrs); err != nil {
		return err
	}
	if len(p.stack) > 0 {
		parent := p.stack[len(p.stack)-1].el
		parent.Children = append(parent.Children, f.el)
	} else {
		p.doc.Root = f.el
	}
	p.stack = append(p.stack, f)
	if empty {
		p.pop()
	}
	return nil
}

func (p *parser) pop() {
	top := p.stack[len(p.stack)-1]
	top.el.Text = string(top.text)
	p.stack = p.stack[:len(p.stack)-1]
}

// attributes reads up to the tag's end; empty is true for "/>".
func (p *parser) attributes(in *input, f *frame) (attrs []Attr, empty bool, err error) {
	seen := map[string]bool{}
	for {
		spaced := in.space()
		switch {
		case in.accept("/>"):
			return attrs, true, nil
		case in.accept(">"):
			return attrs, false, nil
		case in.eof():
			return nil, false, &Error{f.el.Pos, fmt.Sprintf("the tag <%s is not closed", f.raw)}
		}
		a := Attr{Pos: in.pos()}
		raw := in.name()
		if raw == "" {
			return nil, false, in.errorf("expected an attribute, \">\" or \"/>\" in the tag <%s>, found %s", f.raw, in.next())
		}
		if !spaced {
			return nil, false, &Error{a.Pos, fmt.Sprintf("white space is missing before the attribute %s", raw)}
		}
		if seen[raw] {
			return nil, false, &Error{a.Pos, fmt.Sprintf("the attribute %s is there twice", raw)}
		}
		seen[raw] = true
		if len(attrs) >= p.lim.Attrs {
			return nil, false, &Error{a.Pos, fmt.Sprintf("the element has more than %d attributes", p.lim.Attrs)}
		}
		if a.Prefix, a.Local, err = splitName(raw, a.Pos); err != nil {
			return nil, false, err
		}
		if err := p.attrValue(in, raw, &a); err != nil {
			return nil, false, err
		}
		attrs = append(attrs, a)
	}
}

func (p *parser) attrValue(in *input, raw string, a *Attr) error {
	in.space()
	if !in.accept("=") {
		return in.errorf("the attribute %s has no value: expected \"=\", found %s", raw, in.next())
	}
	in.space()
	lit, at, err := in.quoted("value of the attribute " + raw)
	if err != nil {
		return err
	}
	a.ValuePos = in.at(at)
	if i := strings.IndexByte(lit, '<'); i >= 0 {
		return &Error{in.at(at + i), fmt.Sprintf("\"<\" is not allowed in the value of the attribute %s (is a quote missing before it?); write \"&lt;\"", raw)}
	}
	var b strings.Builder
	if err := p.normalise(&b, &input{s: lit, fixed: &a.ValuePos}, 0); err != nil {
		return err
	}
	a.Value = b.String()
	return nil
}

// normalise writes an attribute's value: references expanded, white space as blanks (§3.3.3).
func (p *parser) normalise(b *strings.Builder, in *input, nesting int) error {
	for !in.eof() {
		run := in.rest()
		if i := strings.IndexAny(run, "&<\t\n"); i >= 0 {
			run = run[:i]
		}
		b.WriteString(run)
		in.off += len(run)
		switch {
		case in.eof():
		case in.has("<"):
			return in.errorf("an entity in an attribute's value contains \"<\"")
		case in.has("&#"):
			r, err := p.charRef(in)
			if err != nil {
				return err
			}
			b.WriteRune(r)
		case in.has("&"):
			if err := p.attrRef(b, in, nesting); err != nil {
				return err
			}
		default:
			b.WriteByte(' ')
			in.off++
		}
	}
	return nil
}

func (p *parser) attrRef(b *strings.Builder, in *input, nesting int) error {
	name, err := p.refName(in)
	if err != nil {
		return err
	}
	if s, ok := predefined[name]; ok {
		b.WriteString(s)
		return nil
	}
	e, err := p.lookup(name, *in.fixed)
	if err != nil {
		return err
	}
	if e.external {
		return in.errorf("the external entity &%s; cannot stand in an attribute's value", name)
	}
	if err := p.enter(e, *in.fixed, nesting); err != nil {
		return err
	}
	e.open = true
	defer func() { e.open = false }()
	return p.normalise(b, &input{s: e.text, fixed: in.fixed}, nesting+1)
}

// endTag closes the open element. It must have been opened above base.
func (p *parser) endTag(in *input, base int) error {
	at := in.pos()
	in.off += 2
	name := in.name()
	in.space()
	if name == "" || !in.accept(">") {
		return in.errorf("bad end tag: expected %s, found %s", "</name>", in.next())
	}
	if len(p.stack) <= base {
		return &Error{at, fmt.Sprintf("the end tag </%s> closes nothing", name)}
	}
	top := p.stack[len(p.stack)-1]
	if top.raw != name {
		return &Error{at, fmt.Sprintf("the end tag </%s> does not close <%s> of line %d", name, top.raw, top.el.Pos.Line)}
	}
	p.pop()
	return nil
}

// resolve gives an element and its attributes their namespaces.
func (p *parser) resolve(f *frame, attrs []Attr) (err error) {
	el := f.el
	if el.Prefix, el.Local, err = splitName(f.raw, el.Pos); err != nil {
		return err
	}
	space, ok := f.ns[el.Prefix]
	if !ok && el.Prefix != "" {
		return &Error{el.Pos, fmt.Sprintf("the prefix %q of the element %s is not declared", el.Prefix, f.raw)}
	}
	el.Space = space
	type expanded struct{ space, local string }
	seen := make(map[expanded]bool, len(attrs))
	for i := range attrs {
		a := &attrs[i]
		if a.Prefix != "" {
			if a.Space, ok = f.ns[a.Prefix]; !ok {
				return &Error{a.Pos, fmt.Sprintf("the prefix %q of the attribute %s:%s is not declared", a.Prefix, a.Prefix, a.Local)}
			}
		}
		key := expanded{a.Space, a.Local}
		if seen[key] {
			return &Error{a.Pos, fmt.Sprintf("the attribute %s is there twice, under two prefixes of one namespace", a.Local)}
		}
		seen[key] = true
	}
	el.Attrs = attrs
	return nil
}

func splitName(raw string, at Pos) (prefix, local string, err error) {
	prefix, local, found := strings.Cut(raw, ":")
	if !found {
		return "", raw, nil
	}
	if prefix == "" || local == "" || strings.Contains(local, ":") || !isNameStart([]rune(local)[0]) {
		return "", "", &Error{at, fmt.Sprintf("%q is not a name with one prefix", raw)}
	}
	return prefix, local, nil
}
