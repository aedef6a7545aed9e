package stricttoml

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

type port int

func (p *port) UnmarshalText(b []byte) error {
	if _, err := fmt.Sscanf(string(b), ":%d", (*int)(p)); err != nil {
		return fmt.Errorf("%q is not a port like :80", b)
	}
	return nil
}

type connector struct {
	Name string `toml:"name"`
	Port port   `toml:"port"`
	Max  int    `toml:"max"`
	TLS  *struct {
		Cert string `toml:"cert"`
	} `toml:"tls"`
}

func (c *connector) SetDefaults() { c.Max = 7 }

type document struct {
	Title      string            `toml:"title"`
	Ratio      float64           `toml:"ratio"`
	On         bool              `toml:"on"`
	Names      []string          `toml:"names"`
	Connectors []connector       `toml:"connectors"`
	Env        map[string]string `toml:"env"`
	hidden     int
}

func bindAll(t *testing.T, src string, sets ...string) (document, []string) {
	t.Helper()
	tree, err := Parse([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		k, v, _ := strings.Cut(s, "=")
		if _, err := tree.Set(strings.Split(k, "."), v); err != nil {
			t.Fatal(err)
		}
	}
	var d document
	var got []string
	for _, p := range tree.Bind(&d) {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Pos.Line, p.Pos.Col, p.Error()))
	}
	return d, got
}

func TestBind(t *testing.T) {
	d, problems := bindAll(t, `
title = "t" # comment
ratio = 2
names = ["a",
  "b"]
env = { A = "1", "b.c" = "2" }
[[connectors]]
name = "one"
port = ":80"
[connectors.tls]
cert = "x"
[[connectors]]
name = "two"
max = 3
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if d.Title != "t" || d.Ratio != 2 || !slices.Equal(d.Names, []string{"a", "b"}) || d.Env["b.c"] != "2" || d.hidden != 0 {
		t.Errorf("got %+v", d)
	}
	if len(d.Connectors) != 2 || d.Connectors[0].Max != 7 || d.Connectors[0].Port != 80 || d.Connectors[0].TLS.Cert != "x" || d.Connectors[1].Max != 3 {
		t.Errorf("connectors %+v", d.Connectors)
	}
}

func TestAllProblemsWithPlaces(t *testing.T) {
	_, problems := bindAll(t, `titel = "t"
on = "yes"
text = """
on = 1 # not a key
"""
names = ["a", 2]
[env]
A = 1
[[connectors]]
name = "one"
  prot = 1
[[connectors]]
port = "80"
[connectors.tls]
certs = 1
[connector]
`)
	want := []string{
		`1:1 titel: unknown key here; did you mean "title"?`,
		`2:1 on: want true or false, got the string "yes"`,
		`3:1 text: unknown key here; known are connectors, env, names, on, ratio, title`,
		`6:15 names.1: want a string, got the integer 2`,
		`8:1 env.A: want a string, got the integer 1`,
		`11:3 connectors.0.prot: unknown key in connectors.0; did you mean "port"?`,
		`13:1 connectors.1.port: "80" is not a port like :80`,
		`15:1 connectors.1.tls.certs: unknown key in connectors.1.tls; did you mean "cert"?`,
		`16:1 connector: unknown key here; did you mean "connectors"?`,
	}
	if !slices.Equal(problems, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(problems, "\n"), strings.Join(want, "\n"))
	}
}

func TestSyntaxError(t *testing.T) {
	_, err := Parse([]byte("a = 1\nb = = 2\n"))
	p, ok := err.(*Problem)
	if !ok || p.Kind != Syntax || p.Pos.Line != 2 || p.Pos.Col < 4 {
		t.Errorf("got %#v", err)
	}
}

func TestSet(t *testing.T) {
	src := "[[connectors]]\nname = \"one\"\n[[connectors]]\nname = \"two\"\n"
	d, problems := bindAll(t, src, "title=x y", "on=true", "connectors.two.port=:9", "connectors.0.tls.cert=c", `names=["q"]`, "env.K=v")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if d.Title != "x y" || !d.On || d.Connectors[1].Port != 9 || d.Connectors[0].TLS.Cert != "c" || d.Names[0] != "q" || d.Env["K"] != "v" {
		t.Errorf("got %+v", d)
	}
	tree, _ := Parse([]byte(src))
	for _, bad := range []string{"connectors.three.port", "connectors.7.port", "connectors.0.name.x.y", "connectors.0"} {
		if _, err := tree.Set(strings.Split(bad, "."), "1"); err == nil {
			t.Errorf("Set(%s): no error", bad)
		}
	}
}

func TestKeys(t *testing.T) {
	var got []string
	for _, p := range Keys(document{}) {
		got = append(got, p.String())
	}
	for _, want := range []string{"title", "connectors.*.port", "connectors.*.tls.cert", "env"} {
		if !slices.Contains(got, want) {
			t.Errorf("no key %s in %v", want, got)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"address", "max-connections", "tls"}
	for name, want := range map[string]string{"adress": "address", "Address": "address", "max_connections": "max-connections", "zzz": "", "tsl": "tls", "": ""} {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzParse checks that every key the TOML parser sees has a place inside the source.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a = 1\n[b]\nc = 'x'\n[[d]]\ne = {f = [1, {g = 2}]}\n[[d]]\n[d.h]\ni = \"\"\"x\n\"\"\"\"\n",
		"\ufeffa.b.\"c d\" = '''\n'''\n", "a = [[1],[2]]#x\r\nb = 1979-05-27 07:32:00\r\n", "[a.b]\n[a]\nx=1", "[[a]]\n[[a.b]]\n[[a.b]]\nc=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tree, err := Parse([]byte(src))
		if err != nil {
			return
		}
		lines := strings.Count(src, "\n") + 1
		for _, p := range tree.pos {
			if p.Line < 1 || p.Line > lines || p.Col < 1 {
				t.Fatalf("place %v outside of the source (%d lines)", p, lines)
			}
		}
		var m map[string]any
		md, err := toml.Decode(src, &m)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range md.Keys() {
			if len(k) == 1 && strings.IndexFunc(k[0], func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
				if !tree.Pos(Path{k[0]}).IsValid() {
					t.Fatalf("no place for %q", k[0])
				}
			}
		}
		var d document
		tree.Bind(&d)
	})
}
