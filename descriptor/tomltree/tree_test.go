package tomltree

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// dump writes a tree with its places, one node a line.
func dump(b *strings.Builder, n *Node, indent string) {
	key := n.Key
	if key == "" {
		key = "-"
	}
	fmt.Fprintf(b, "%s%s %d:%d %d:%d %s %s\n", indent, key, n.KeyPos.Line, n.KeyPos.Col, n.Pos.Line, n.Pos.Col, n.Kind, n.Text)
	for _, c := range n.Children {
		dump(b, c, indent+"  ")
	}
}

func TestPlaces(t *testing.T) {
	const doc = `# comment with "quotes" and [brackets]
title = "a # \" b"   # c
site."a.b".'c' = { x = 1, y = ['p', "q", # é
  3.5] }
text = """
one ""two"""""
[[servlet]]
name = "é" ; 
`
	const good = `# comment with "quotes" and [brackets]
title = "a # \" b"   # c
site."a.b".'c' = { x = 1, y = ['p', "q", # é
  3.5] }
text = """
one ""two"""""
when = 2026-01-02 03:04:05
[[servlet]]
patterns = ["/a",
   "/é", true]
[servlet.init]
k = 'v'
[[servlet]]
[servlet.init]
k2 = 'w'
[ a . "b" ]
`
	if _, err := Parse([]byte(doc)); err == nil {
		t.Error("a stray character was accepted")
	}
	root, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	dump(&b, root, "")
	want := `- 1:1 1:1 table 
  title 2:1 2:9 string a # " b
  site 3:1 3:1 table 
    a.b 3:6 3:6 table 
      c 3:12 3:18 table 
        x 3:20 3:24 integer 1
        y 3:27 3:31 array 
          - 3:32 3:32 string p
          - 3:37 3:37 string q
          - 4:3 4:3 float 3.5
  text 5:1 5:8 string one ""two""
  when 7:1 7:8 date or time 2026-01-02T03:04:05Z
  servlet 8:1 8:1 array 
    - 8:1 8:1 table 
      patterns 9:1 9:12 array 
        - 9:13 9:13 string /a
        - 10:4 10:4 string /é
        - 10:10 10:10 boolean true
      init 11:10 11:1 table 
        k 12:1 12:5 string v
    - 13:1 13:1 table 
      init 14:10 14:1 table 
        k2 15:1 15:6 string w
  a 16:3 16:1 table 
    b 16:7 16:1 table 
`
	if got := b.String(); normalise(got) != normalise(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// normalise hides the offset that the library gives local times of this machine's zone.
func normalise(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if head, _, ok := strings.Cut(l, "date or time "); ok {
			lines[i] = head + "date or time"
		}
	}
	return strings.Join(lines, "\n")
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, doc, at, msg string }{
		{"duplicate key", "a = 1\nb = 2\na = 3\n", "3:1", "already been defined"},
		{"open string", "a = 1\nb = \"x\n", "2:", "newline"},
		{"deep arrays", "a = " + strings.Repeat("[", 100000), "1:37", "nested"},
		{"deep after a string", "a = [\"]]]]\", " + strings.Repeat("[", 100), "1:", "nested"},
		{"dotted key", strings.Repeat("a.", 100000) + "a = 1", "1:", "nested"},
		{"too large", strings.Repeat("#", maxSize+1), "1:1", "bytes"},
		{"not UTF-8", "a = \"\xff\"", "1:", "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.doc))
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

// FuzzParse checks that each node of an accepted document has a place within it, so that
// the second reading found everything the library did.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "a = 1", "a.b = [1, {c = 2}]", "[[x]]\ny = '''z'''\n[x.w]\n[[x]]", "\"a\\u0041\" = \"\"\"\\\"\"\"\"", "[a]\n[a.b]\nc = 1979-05-27",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		root, err := Parse([]byte(s))
		if err != nil {
			return
		}
		lines := strings.Count(s, "\n") + 1
		var walk func(n *Node)
		walk = func(n *Node) {
			if n.Pos.Line < 1 || n.Pos.Line > lines || n.Pos.Col < 1 || n.KeyPos.Line < 1 {
				t.Errorf("%q: node %q %s has the place %v %v", s, n.Key, n.Kind, n.KeyPos, n.Pos)
			}
			for _, c := range n.Children {
				walk(c)
			}
		}
		walk(root)
	})
}
