package descriptor

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// xmlReader decodes a tree of elements.
type xmlReader struct {
	reader
	// space is the root's namespace: elements of another are ignored.
	space string
}

// handlers says what to do with the children of an element, by local name.
type handlers map[string]func(*xmltree.Element)

// open parses a document; nil if it is not well-formed, which has been reported.
func (x *xmlReader) open(data []byte) *xmltree.Document {
	doc, err := xmltree.Parse(data, xmltree.Limits{})
	if err != nil {
		var e *xmltree.Error
		if errors.As(err, &e) {
			x.diags.add(x.at(e.Pos), SeverityError, KindSyntax, "%s", e.Msg)
		} else {
			x.diags.add(Pos{File: x.file}, SeverityError, KindSyntax, "%v", err)
		}
		return nil
	}
	x.space = doc.Root.Space
	for _, ref := range doc.Skipped {
		x.warnf(x.at(ref.Pos), "the external entity &%s; (%s) is not read: Serval never follows external entities; put its text here", ref.Name, ref.SystemID)
	}
	return doc
}

func (x *xmlReader) at(p xmltree.Pos) Pos { return Pos{File: x.file, Line: p.Line, Col: p.Col} }

// children calls the handler of each child element. An element that has none is
// named in a warning, as is one of a foreign namespace (once for each).
func (x *xmlReader) children(e *xmltree.Element, h handlers) {
	if strings.TrimSpace(e.Text) != "" {
		x.warnf(x.at(e.TextPos), "text directly in <%s> is ignored", e.Local)
	}
	for _, c := range e.Children {
		if c.Space != x.space && !sameFamily(c.Space) {
			x.warnOnce("space "+c.Space, x.at(c.Pos), "<%s> is in the namespace %q, which has no meaning here; it is ignored", c.Local, c.Space)
			continue
		}
		do := h[c.Local]
		switch {
		case do != nil:
			do(c)
		case h == nil:
			x.warnf(x.at(c.Pos), "the element <%s> is not known in <%s>; it is ignored", c.Local, e.Local)
		default:
			x.warnf(x.at(c.Pos), "the element <%s> is not known in <%s>%s; it is ignored", c.Local, e.Local, didYouMean(c.Local, slices.Sorted(maps.Keys(h))))
		}
	}
}

// text is a leaf's value: trimmed, placeholders substituted.
func (x *xmlReader) text(e *xmltree.Element) value {
	v := value{name: "<" + e.Local + ">", text: strings.TrimSpace(e.Text), pos: x.at(e.TextPos)}
	if e.TextPos == (xmltree.Pos{}) {
		v.pos = x.at(e.Pos)
	}
	if e.Skipped {
		x.errorf(v.pos, "the value of <%s> is in an external entity, which Serval never reads; put it here", e.Local)
		v.unknown = true
		return v
	}
	for _, c := range e.Children {
		x.warnf(x.at(c.Pos), "the element <%s> is not known in <%s>; it is ignored", c.Local, e.Local)
	}
	var ok bool
	v.text, ok = x.substitute(v.text, v.name, v.pos)
	v.unknown = !ok
	return v
}

// attr is an attribute's value, placeholders substituted.
func (x *xmlReader) attr(a xmltree.Attr) value {
	v := value{name: a.Local, text: strings.TrimSpace(a.Value), pos: x.at(a.ValuePos)}
	var ok bool
	v.text, ok = x.substitute(v.text, v.name, v.pos)
	v.unknown = !ok
	return v
}

// once reports the second of elements that may stand only once, naming both places.
func (x *xmlReader) once(d *declared, e *xmltree.Element) {
	if d.note(e.Local, x.at(e.Pos)) {
		return
	}
	x.errorf(x.at(e.Pos), "<%s> may be declared only once; line %d has one already", e.Local, (*d)[e.Local].Line)
}

// note remembers the first place of a name and reports whether this is the first.
func (d *declared) note(name string, p Pos) bool {
	if _, twice := (*d)[name]; twice {
		return false
	}
	if *d == nil {
		*d = declared{}
	}
	(*d)[name] = p
	return true
}

func (d declared) has(name string) bool {
	_, ok := d[name]
	return ok
}

// The namespaces of the descriptors, by what they are part of.
const (
	familyServlet = "servlet"
	familyJBoss   = "jboss"
	familyDist    = "distributable-web"
)

// family tells which descriptors a namespace belongs to, "" for a foreign one. No
// namespace at all fits each.
func family(space string) string {
	s := strings.ToLower(space)
	_, host, _ := strings.Cut(s, "://")
	switch {
	case strings.HasPrefix(host, "java.sun.com/xml/ns/j"), strings.HasPrefix(host, "java.sun.com/dtd/"),
		strings.HasPrefix(host, "xmlns.jcp.org/xml/ns/j"), strings.HasPrefix(host, "jakarta.ee/xml/ns/j"):
		return familyServlet
	case strings.HasPrefix(s, "urn:jboss:distributable-web"):
		return familyDist
	case strings.HasPrefix(host, "www.jboss.com/"), strings.HasPrefix(host, "www.jboss.org/"), strings.HasPrefix(s, "urn:jboss:"):
		return familyJBoss
	}
	return ""
}

// sameFamily lets documents mix namespaces of one family: jboss-web.xml takes elements of
// the servlet schemas, and files of the wild leave a part without namespace.
func sameFamily(space string) bool { return space == "" || family(space) != "" }
