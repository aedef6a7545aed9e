package xmltree

import (
	"regexp"
	"strings"
)

var versionNum = regexp.MustCompile(`^1\.[0-9]+$`)
var encName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)

// declaration reads <?xml version="1.0" encoding="..." standalone="..."?>.
func (p *parser) declaration(in *input) error {
	if !in.has("<?xml") || len(in.rest()) < 6 || !isSpace(in.s[in.off+5]) {
		return nil
	}
	in.off += len("<?xml")
	order := []string{"version", "encoding", "standalone"}
	next := 0
	for {
		spaced := in.space()
		if in.accept("?>") {
			break
		}
		at := in.off
		name := in.name()
		i := next
		for i < len(order) && order[i] != name {
			i++
		}
		if i == len(order) || !spaced {
			in.off = at
			return in.errorf("bad XML declaration: it is <?xml version=\"1.0\" encoding=\"...\" standalone=\"...\"?>, in this order")
		}
		next = i + 1
		in.space()
		if !in.accept("=") {
			return in.errorf("expected \"=\" in the XML declaration, found %s", in.next())
		}
		in.space()
		at = in.off
		value, _, err := in.quoted(name)
		if err != nil {
			return err
		}
		if !p.declared(name, value) {
			in.off = at
			return in.errorf("bad %s %q in the XML declaration", name, value)
		}
	}
	if p.version == "" {
		return in.errorf("the XML declaration lacks a version")
	}
	return nil
}

func (p *parser) declared(name, value string) bool {
	switch name {
	case "version":
		p.version = value
		return versionNum.MatchString(value)
	case "encoding":
		p.doc.Encoding = value
		return encName.MatchString(value)
	}
	p.standalone = value == "yes"
	return value == "yes" || value == "no"
}

// misc reads comments, processing instructions and white space around the root.
func (p *parser) misc(in *input) error {
	for {
		in.space()
		switch {
		case in.has("<!--"):
			if err := p.comment(in); err != nil {
				return err
			}
		case in.has("<?"):
			if err := p.instruction(in); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (p *parser) comment(in *input) error {
	start := in.off
	in.off += len("<!--")
	i := strings.Index(in.rest(), "--")
	if i < 0 {
		in.off = start
		return in.errorf("the comment is not closed")
	}
	in.off += i
	if !in.has("-->") {
		return in.errorf("\"--\" is not allowed within a comment")
	}
	in.off += 3
	return nil
}

func (p *parser) instruction(in *input) error {
	start := in.off
	in.off += 2
	target := in.name()
	if target == "" {
		return in.errorf("a processing instruction needs a name after \"<?\"")
	}
	if strings.EqualFold(target, "xml") {
		in.off = start
		return in.errorf("an XML declaration is allowed only at the very start of the document")
	}
	if strings.Contains(target, ":") {
		in.off = start
		return in.errorf("the name of a processing instruction cannot have a colon")
	}
	if !in.has("?>") && !in.space() {
		return in.errorf("expected white space after the processing instruction's name, found %s", in.next())
	}
	i := strings.Index(in.rest(), "?>")
	if i < 0 {
		in.off = start
		return in.errorf("the processing instruction is not closed")
	}
	in.off += i + 2
	return nil
}
