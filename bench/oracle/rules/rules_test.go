package rules

import (
	"strings"
	"testing"
)

type subject map[string]string

func (s subject) File() string           { return s["file"] }
func (s subject) Var(name string) string { return s[name] }

func known(n string) bool { return n == "field" || n == "want" || n == "got" }

func TestExplain(t *testing.T) {
	const doc = `# Conformance

| File | Property rule | Reason |
| --- | --- | --- |
| static, dispatch | ` + "`field = 'header.ETag' and want ~ '^W/' and got !~ '^W/'`" + ` | strong is better |
| * | ` + "`field = 'body' and want = $got`" + ` | cannot differ |
| mapping | ` + "`got ~ 'a\\|b''c'`" + ` | escapes |

| Other | table |
| --- | --- |
| a | b |
`
	tab, err := Parse(strings.NewReader(doc), known)
	if err != nil {
		t.Fatal(err)
	}
	if len(tab.Rules) != 3 {
		t.Fatalf("%d rules, want 3", len(tab.Rules))
	}
	tests := []struct {
		name string
		s    subject
		want string
	}{
		{"all conditions", subject{"file": "static", "field": "header.ETag", "want": `W/"1"`, "got": `"1"`}, "strong is better"},
		{"one condition fails", subject{"file": "static", "field": "header.ETag", "want": `W/"1"`, "got": `W/"2"`}, ""},
		{"other file", subject{"file": "http", "field": "header.ETag", "want": `W/"1"`, "got": `"1"`}, ""},
		{"any file, variable", subject{"file": "http", "field": "body", "want": "x", "got": "x"}, "cannot differ"},
		{"escapes", subject{"file": "mapping", "got": "b'c"}, "escapes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if r := tab.Explain(tt.s); r != nil {
				got = r.Reason
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	const head = "| File | Property rule | Reason |\n| --- | --- | --- |\n"
	tests := []struct{ row, want string }{
		{"| * | feild = 'x' | r |", `line 3: unknown variable "feild"`},
		{"| * | field ~ '(' | r |", "line 3: error parsing regexp"},
		{"| * | field == 'x' | r |", `unknown operator "=="`},
		{"| * | field = x | r |", "a 'quoted' value is expected"},
		{"| * | field = 'x' or got = 'y' | r |", `"or" where "and" was expected`},
		{"| * | field = 'x' | |", "a rule needs a reason"},
		{"| * | field = 'x' |", "2 cells"},
	}
	for _, tt := range tests {
		_, err := Parse(strings.NewReader(head+tt.row+"\n"), known)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.row, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("| File | Property rule | Reason |\n| --- | --- | --- |\n| * | field = 'x' and got ~ 'y' | r |\n")
	f.Fuzz(func(t *testing.T, doc string) {
		tab, err := Parse(strings.NewReader(doc), known)
		if err != nil {
			return
		}
		for _, r := range tab.Rules {
			if r.Reason == "" || len(r.property) == 0 {
				t.Fatalf("rule without reason or property: %+v", r)
			}
			r.matches(subject{"field": "x"})
		}
	})
}
