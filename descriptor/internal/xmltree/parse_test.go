package xmltree

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"
)

// dump writes a tree with its places.
func dump(b *strings.Builder, e *Element) {
	fmt.Fprintf(b, "(%d:%d %s", e.Pos.Line, e.Pos.Col, e.Local)
	if e.Space != "" {
		fmt.Fprintf(b, "{%s}", e.Space)
	}
	for _, a := range e.Attrs {
		fmt.Fprintf(b, " %d:%d %s=%q", a.ValuePos.Line, a.ValuePos.Col, a.Local, a.Value)
	}
	if e.Text != "" {
		fmt.Fprintf(b, " %d:%d %q", e.TextPos.Line, e.TextPos.Col, e.Text)
	}
	for _, c := range e.Children {
		b.WriteByte(' ')
		dump(b, c)
	}
	b.WriteByte(')')
}

func TestAccepted(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"smallest", "<a/>", `(1:1 a)`},
		{"declaration", "<?xml version=\"1.0\" encoding='utf-8' standalone = \"yes\" ?>\n<a>x</a >", `(2:1 a 2:4 "x")`},
		{"byte order mark", "\xEF\xBB\xBF<a/>", `(1:1 a)`},
		{"line ends", "<a>\r\nx\ry\r\n  z</a>", `(1:1 a 2:1 "\nx\ny\n  z")`},
		{"columns are characters", "<a>é<b/></a>", `(1:1 a 1:4 "é" (1:5 b))`},
		{"comments and instructions", "<!-- - --><?p q?><a><!--x--><?r?>t</a><!-- --><?s?>\n", `(1:18 a 1:34 "t")`},
		{"CDATA", "<a>1<![CDATA[<b>&amp;]]]]>2</a>", `(1:1 a 1:4 "1<b>&amp;]]2")`},
		{"references", "<a x='&lt;&#65;&#x42;'>&gt;&amp;&apos;&quot;&#x10FFFF;</a>", `(1:1 a 1:7 x="<AB" 1:24 ">&'\"\U0010ffff")`},
		{"white space in attributes", "<a x='1\n2\t3&#10;4'/>", `(1:1 a 1:7 x="1 2 3\n4")`},
		{"namespaces", `<p:a xmlns:p="u" xmlns="d" p:x="1" x="2"><b xmlns=""/><c xmlns:p="v"><p:d/></c></p:a>`,
			`(1:1 a{u} 1:33 x="1" 1:39 x="2" (1:42 b) (1:55 c{d} (1:70 d{v})))`},
		{"xml prefix", `<a xml:lang="en"/>`, `(1:1 a 1:14 lang="en")`},
		{"DOCTYPE", `<!DOCTYPE a PUBLIC "-//X//EN" 'http://x'><a/>`, `(1:42 a)`},
		{"internal subset", `<!DOCTYPE a [
  <!-- comment --> <?pi?>
  <!ELEMENT a (#PCDATA|b)*> <!ATTLIST a x CDATA "a>b" y (p|q) #IMPLIED>
  <!NOTATION n PUBLIC "n"> <!ENTITY u SYSTEM "u.gif" NDATA n>
  <!ENTITY e "<b>&f;</b>"> <!ENTITY f 'x&#38;amp;y'> <!ENTITY e "second">
]><a>&e;</a>`, `(6:3 a (6:6 b 6:6 "x&y"))`},
		{"entity in an attribute", `<!DOCTYPE a [<!ENTITY e "1&#9;2">]><a x="&e;"/>`, `(1:36 a 1:42 x="1 2")`},
		{"parameter entity", `<!DOCTYPE a [<!ENTITY % p "<!ENTITY e 'x'>"> %p; ]><a>&e;</a>`, `(1:52 a 1:55 "x")`},
		{"predefined entity declared", `<!DOCTYPE a [<!ENTITY lt "&#38;#60;">]><a>&lt;</a>`, `(1:40 a 1:43 "<")`},
		{"names", "<é.-·1 _:é.-='1' xmlns:_='u'/>", `(1:1 é.-·1 1:15 é.-="1")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := Parse([]byte(c.doc), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			dump(&b, doc.Root)
			if b.String() != c.want {
				t.Errorf("got  %s\nwant %s", b.String(), c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, doc, at, msg string }{
		{"empty", "", "1:1", "no root"},
		{"only white space", " \n", "2:1", "no root"},
		{"text before the declaration", "x<?xml version='1.0'?><a/>", "1:1", "before the root"},
		{"white space before the declaration", "\n<?xml version='1.0'?><a/>", "2:1", "very start"},
		{"comment before the declaration", "<!-- --><?xml version='1.0'?><a/>", "1:9", "very start"},
		{"declaration without version", "<?xml encoding='UTF-8'?><a/>", "1:25", "lacks a version"},
		{"declaration in wrong order", "<?xml version='1.0' standalone='no' encoding='UTF-8'?><a/>", "1:37", "order"},
		{"version 2", "<?xml version='2.0'?><a/>", "1:15", "version"},
		{"standalone", "<?xml version='1.0' standalone='maybe'?><a/>", "1:32", "standalone"},
		{"two roots", "<a/>\n<b/>", "2:1", "only one root"},
		{"text after the root", "<a/>x", "1:5", "after the root"},
		{"DOCTYPE after the root", "<a/><!DOCTYPE a>", "1:5", "after the root"},
		{"two DOCTYPEs", "<!DOCTYPE a><!DOCTYPE a><a/>", "1:13", "only one DOCTYPE"},
		{"not closed", "<a>\n<b>", "2:4", "<b> of line 2 is not closed"},
		{"wrong end tag", "<a>\n<b>\n</a>", "3:1", "</a> does not close <b> of line 2"},
		{"end tag alone", "</a>", "1:2", "element's name"},
		{"attribute twice", "<a x='1' x='2'/>", "1:10", "twice"},
		{"attribute twice by namespace", "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>", "1:36", "two prefixes"},
		{"attribute without value", "<a x/>", "1:5", "no value"},
		{"attribute without quotes", "<a x=1/>", "1:6", "quoted"},
		{"attributes without space", "<a x='1'y='2'/>", "1:9", "white space"},
		{"less-than in an attribute", "<a x='<'/>", "1:7", "&lt;"},
		{"undeclared prefix", "<a><p:b/></a>", "1:4", "prefix \"p\""},
		{"undeclared prefix of an attribute", "<a p:x='1'/>", "1:4", "prefix \"p\""},
		{"prefix out of scope", "<a><b xmlns:p='u'/><p:c/></a>", "1:20", "prefix \"p\""},
		{"prefix bound to nothing", "<a xmlns:p=''/>", "1:4", "nothing"},
		{"xmlns prefix", "<a xmlns:xmlns='u'/>", "1:4", "xmlns"},
		{"xml prefix rebound", "<a xmlns:xml='u'/>", "1:4", "xml"},
		{"two colons", "<a:b:c/>", "1:1", "one prefix"},
		{"double hyphen", "<a><!-- x -- y --></a>", "1:11", "--"},
		{"comment ends with three hyphens", "<a><!-- x ---></a>", "1:11", "--"},
		{"comment not closed", "<a><!-- x", "1:4", "not closed"},
		{"CDATA not closed", "<a><![CDATA[ x", "1:4", "not closed"},
		{"end of CDATA in text", "<a>]]></a>", "1:4", "]]&gt;"},
		{"ampersand", "<a>\n &</a>", "2:2", "&amp;"},
		{"ampersand in an attribute", "<a x='a & b'/>", "1:7", "&amp;"},
		{"undeclared entity", "<a>&nbsp;</a>", "1:4", "not declared"},
		{"character reference", "<a>&#0;</a>", "1:4", "U+0000"},
		{"character reference of a surrogate", "<a>&#xD800;</a>", "1:4", "U+D800"},
		{"character reference without digits", "<a>&#x;</a>", "1:4", "&#65;"},
		{"control character", "<a>\n\x01</a>", "2:1", "U+0001"},
		{"non-character", "<a>\uFFFE</a>", "1:4", "U+FFFE"},
		{"not UTF-8", "<a>\xE9</a>", "1:4", "0xE9"},
		{"UTF-8 surrogate", "<a>\xED\xA0\x80</a>", "1:4", "not UTF-8"},
		{"instruction named xml", "<a><?XML x?></a>", "1:4", "very start"},
		{"instruction without name", "<a><? x?></a>", "1:6", "name"},
		{"declaration in content", "<a><!ELEMENT a ANY></a>", "1:4", "CDATA"},
		{"comment within DOCTYPE", "<!DOCTYPE a <!-- x --> SYSTEM 'u'><a/>", "1:13", "comment is allowed only"},
		{"comment between identifiers", "<!DOCTYPE a PUBLIC 'p' <!-- x --> 'u'><a/>", "1:24", "system identifier"},
		{"subset not closed", "<!DOCTYPE a [ <!ENTITY e 'x'>", "1:1", "not closed"},
		{"bad declaration", "<!DOCTYPE a [ <!ENTITIE e 'x'> ]><a/>", "1:15", "expected a declaration"},
		{"parameter entity in a declaration", "<!DOCTYPE a [ <!ENTITY % p 'x'> <!ENTITY e '%p;'> ]><a/>", "1:45", "parameter entity"},
		{"entity refers to itself", "<!DOCTYPE a [<!ENTITY e '&f;'><!ENTITY f '&e;'>]><a>&e;</a>", "1:53", "itself"},
		{"entity refers to itself in an attribute", "<!DOCTYPE a [<!ENTITY e '&e;'>]><a x='&e;'/>", "1:39", "itself"},
		{"parameter entity refers to itself", "<!DOCTYPE a [<!ENTITY % p '&#37;p;'> %p; ]><a/>", "1:38", "itself"},
		{"unbalanced entity", "<!DOCTYPE a [<!ENTITY e '<b>'>]><a>&e;</b></a>", "1:36", "not closed"},
		{"entity closes the element around it", "<!DOCTYPE a [<!ENTITY e '</a>'>]><a>&e;", "1:37", "closes nothing"},
		{"less-than from an entity in an attribute", "<!DOCTYPE a [<!ENTITY e '&#60;'>]><a x='&e;'/>", "1:41", "contains \"<\""},
		{"external entity in an attribute", "<!DOCTYPE a [<!ENTITY e SYSTEM 'u'>]><a x='&e;'/>", "1:44", "external"},
		{"unparsed entity", "<!DOCTYPE a [<!NOTATION n SYSTEM 'n'><!ENTITY e SYSTEM 'u' NDATA n>]><a>&e;</a>", "1:73", "unparsed"},
		{"unknown encoding", "<?xml version='1.0' encoding='x-nothing'?><a/>", "1:1", "unknown encoding"},
		{"declared UTF-16 but is not", "<?xml version='1.0' encoding='UTF-16'?><a/>", "1:1", "its bytes are not"},
		{"byte order mark against declaration", "\xEF\xBB\xBF<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "1:1", "byte order mark"},
		{"US-ASCII with other bytes", "<?xml version='1.0' encoding='US-ASCII'?>\n<a>\xE9</a>", "2:4", "US-ASCII"},
		{"half a UTF-16 character", "\xFE\xFF\x00<\x00", "1:2", "ends within"},
		{"half a surrogate pair", "\xFE\xFF\x00<\xD8\x00\x00a", "1:2", "surrogate"},
		{"UTF-32", "\x00\x00\xFE\xFF\x00\x00\x00<", "1:1", "UTF-32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.doc), Limits{})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if got := e.Error(); !strings.HasPrefix(got, c.at) || !strings.Contains(got, c.msg) {
				t.Errorf("got %q, want it at %s saying %q", got, c.at, c.msg)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	lim := Limits{Size: 4000, Depth: 3, Elements: 5, Attrs: 2, Expansion: 100, Nesting: 2, Entities: 2}
	for _, c := range []struct{ name, doc, msg string }{
		{"size", "<a>" + strings.Repeat("x", 4000) + "</a>", "4000"},
		{"depth", "<a><b><c><d/></c></b></a>", "3 deep"},
		{"elements", "<a>" + strings.Repeat("<b/>", 5) + "</a>", "5 elements"},
		{"attributes", "<a x='' y='' z=''/>", "2 attributes"},
		{"namespaces", "<a xmlns:p='u'><b xmlns:q='u'><c xmlns:r='u'/></b></a>", "2 namespaces"},
		{"expansion", "<!DOCTYPE a [<!ENTITY e '" + strings.Repeat("x", 60) + "'>]><a>&e;&e;</a>", "100 bytes"},
		{"expansion of empty entities", "<!DOCTYPE a [<!ENTITY e ''>]><a>" + strings.Repeat("&e;", 101) + "</a>", "100 bytes"},
		{"nesting", "<!DOCTYPE a [<!ENTITY e '&f;'><!ENTITY f '<b x=\"&amp;\">&#38;f;</b>'>]><a>&e;</a>", "itself"},
		{"entities", "<!DOCTYPE a [<!ENTITY e ''><!ENTITY f ''><!ENTITY g ''>]><a/>", "2 entities"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse([]byte(c.doc), lim); err == nil || !strings.Contains(err.Error(), c.msg) {
				t.Errorf("got %v, want an error saying %q", err, c.msg)
			}
		})
	}
}

// TestExternalEntity shows that an external entity is known of and not followed.
func TestExternalEntity(t *testing.T) {
	doc, err := Parse([]byte(`<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>x<b>&e;</b></a>`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b := doc.Root.Children[0]
	if doc.Root.Skipped || !b.Skipped || b.Text != "" {
		t.Errorf("got %+v", b)
	}
	want := Reference{Name: "e", SystemID: "file:///etc/passwd", Pos: Pos{1, 62}}
	if len(doc.Skipped) != 1 || doc.Skipped[0] != want {
		t.Errorf("got %+v, want %+v", doc.Skipped, want)
	}
}

func TestEncodings(t *testing.T) {
	encode16 := func(s string, big bool) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(s)) {
			if big {
				b.Write([]byte{byte(u >> 8), byte(u)})
			} else {
				b.Write([]byte{byte(u), byte(u >> 8)})
			}
		}
		return b.String()
	}
	decl := func(enc string) string { return "<?xml version='1.0' encoding='" + enc + "'?>" }
	for _, c := range []struct{ name, doc, want string }{
		{"ISO-8859-1", decl("ISO-8859-1") + "<a>\xE9\x80</a>", "é\u0080"},
		{"iso-8859-1", decl("iso-8859-1") + "<a>\xE9</a>", "é"},
		{"latin1", decl("latin1") + "<a>\xE9</a>", "é"},
		{"ISO-8859-15", decl("ISO-8859-15") + "<a>\xA4</a>", "€"},
		{"US-ASCII", decl("US-ASCII") + "<a>x</a>", "x"},
		{"windows-1250", decl("windows-1250") + "<a>\x9C</a>", "ś"},
		{"windows-1252", decl("windows-1252") + "<a>\x80</a>", "€"},
		{"cp1252", decl("cp1252") + "<a>\x80</a>", "€"},
		{"windows-1251", decl("Windows-1251") + "<a>\xC6</a>", "Ж"},
		{"GBK", decl("GBK") + "<a>\xC4\xE3</a>", "你"},
		{"GB2312", decl("GB2312") + "<a>\xC4\xE3</a>", "你"},
		{"GB18030", decl("GB18030") + "<a>\xC4\xE3</a>", "你"},
		{"Shift_JIS", decl("Shift_JIS") + "<a>\x82\xA0</a>", "あ"},
		{"UTF-16 big-endian", "\xFE\xFF" + encode16(decl("UTF-16")+"<a>é\U0001F600</a>", true), "é\U0001F600"},
		{"UTF-16 little-endian", "\xFF\xFE" + encode16("<a>é</a>", false), "é"},
		{"UTF-16 big-endian without mark", encode16(decl("UTF-16BE")+"<a>é</a>", true), "é"},
		{"UTF-16 little-endian without mark", encode16(decl("UTF-16LE")+"<a>é</a>", false), "é"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := Parse([]byte(c.doc), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if doc.Root.Text != c.want {
				t.Errorf("got %q, want %q", doc.Root.Text, c.want)
			}
		})
	}
}

// FuzzParse holds the reader against encoding/xml, which is more lenient: what is
// accepted here (without entities) must be read there, as the same elements and text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"<a/>", "<a x='1'>t<b/>&amp;<![CDATA[x]]></a>", "<?xml version='1.0' encoding='GBK'?><a>\xC4\xE3</a>",
		"<!DOCTYPE a [<!ENTITY e '<b>x</b>'>]><a>&e;&e;</a>", "<p:a xmlns:p='u' p:x='1'/>", "\xFE\xFF\x00<\x00a\x00/\x00>",
		"<!DOCTYPE a [<!ENTITY % p '<!ENTITY e \"x\">'>%p;]><a x='&e;'/>", "<a>\r\n<!-- x --><?y z?></a>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse(data, Limits{})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Pos.Line < 1 || e.Pos.Col < 1 {
				t.Fatalf("error without place: %v", err)
			}
			return
		}
		text, derr := decode(data)
		if derr != nil || doc.Doctype != nil || strings.Contains(text, "<?xml") {
			return
		}
		n, chars := count(doc.Root)
		chars = sorted(chars)
		wantN, wantChars, err := countStd(text)
		if err != nil && strings.Contains(err.Error(), "name") {
			return // encoding/xml follows the fourth edition, which allows fewer names
		}
		if err != nil {
			t.Fatalf("accepted, but encoding/xml says %v", err)
		}
		if n != wantN || chars != wantChars {
			t.Errorf("%d elements and text %q, encoding/xml has %d and %q", n, chars, wantN, wantChars)
		}
	})
}

// count returns the number of elements and all leading text.
func count(e *Element) (int, string) {
	n, text := 1, e.Text
	for _, c := range e.Children {
		cn, ct := count(c)
		n += cn
		text += ct
	}
	return n, text
}

func countStd(text string) (n int, chars string, err error) {
	d := xml.NewDecoder(bytes.NewReader([]byte(text)))
	depth := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n, sorted(chars), nil
		}
		if err != nil {
			return 0, "", err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			n++
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth > 0 {
				chars += string(tok)
			}
		}
	}
}

// sorted makes texts comparable that were joined in different orders.
func sorted(s string) string {
	counts := map[rune]int{}
	for _, r := range s {
		counts[r]++
	}
	return fmt.Sprint(counts)
}
