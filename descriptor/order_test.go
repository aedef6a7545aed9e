package descriptor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// frag declares a fragment for ordering: "name", "name<a,b" (before) and "name>a,*" (after), combined.
func frag(spec string) *WebApp {
	f := &WebApp{}
	name := spec
	if i := strings.IndexAny(spec, "<>"); i >= 0 {
		name = spec[:i]
		for _, part := range strings.FieldsFunc(strings.NewReplacer("<", " <", ">", " >").Replace(spec[i:]), func(r rune) bool { return r == ' ' }) {
			names := strings.Split(part[1:], ",")
			for j, n := range names {
				if n == "*" {
					names[j] = OthersName
				}
			}
			if part[0] == '<' {
				f.Ordering.Before = names
			} else {
				f.Ordering.After = names
			}
		}
	}
	f.fragmentName = name
	return f
}

func names(frags []*WebApp) string {
	var out []string
	for _, f := range frags {
		out = append(out, f.fragmentName)
	}
	return strings.Join(out, " ")
}

// permutations calls f with each order of the list.
func permutations(list []string, f func([]string)) {
	var rec func(int)
	rec = func(i int) {
		if i == len(list) {
			f(slices.Clone(list))
			return
		}
		for j := i; j < len(list); j++ {
			list[i], list[j] = list[j], list[i]
			rec(i + 1)
			list[i], list[j] = list[j], list[i]
		}
	}
	rec(0)
}

// TestRelativeOrdering checks, for every order in which the fragments may be found,
// the constraints that must hold in the result ("a<b": a before b).
func TestRelativeOrdering(t *testing.T) {
	for _, c := range []struct{ frags, holds string }{
		{"a b c", ""},
		{"a<b b<c c", "a<b b<c"},
		{"a>b b>c c", "b<a c<b"},
		{"a>* b c", "b<a c<a"},
		{"a<* b c", "a<b a<c"},
		{"a<* b>* c d", "a<b a<c a<d c<b d<b"},
		{"a<*>b b<* c d", "b<a a<c a<d"},
		{"a>*<b b>* c d", "a<b c<a d<a"},
		// Servlet 6.1 §8.2.2: the specification's examples.
		{"A>*>C B<* C>* D E F<*<B", "F<B B<D B<E D<C E<C C<A"},
		{"a>b,*<c b c d<* e f", "b<a a<c d<b e<a f<a"},
		// Whom must precede one that is before the others is so too, and in chains.
		{"a<b b<c c<* d", "a<b b<c c<d"},
		{"a>b b>c c>* d", "d<c c<b b<a"},
		{"a>x b<y c", ""}, // names that are not there
	} {
		t.Run(c.frags, func(t *testing.T) {
			permutations(strings.Fields(c.frags), func(order []string) {
				var frags []*WebApp
				for _, s := range order {
					frags = append(frags, frag(s))
				}
				var ds Diagnostics
				got := orderFragments(&WebApp{}, frags, &ds)
				if len(ds) > 0 || len(got) != len(frags) {
					t.Fatalf("%v: %v %s", order, names(got), ds)
				}
				at := map[string]int{}
				for i, f := range got {
					at[f.fragmentName] = i
				}
				for _, h := range strings.Fields(c.holds) {
					first, then, _ := strings.Cut(h, "<")
					if at[first] > at[then] {
						t.Fatalf("found as %v, sorted as %s: %s does not hold", order, names(got), h)
					}
				}
			})
		})
	}
}

func TestOrderingRefused(t *testing.T) {
	for _, c := range []struct{ frags, msg string }{
		{"a<b b<a", "circle"},
		{"a<b b<c c<a", "circle"},
		{"a<a", "circle"},
		{"a<*<b b<*<a c", "circle"},
		{"a>*<b b<* c", "contradicts"},
		{"a<*>* b", "both before and after"},
		{"a b a", "two fragments have the name"},
	} {
		t.Run(c.frags, func(t *testing.T) {
			permutations(strings.Fields(c.frags), func(order []string) {
				var frags []*WebApp
				for _, s := range order {
					frags = append(frags, frag(s))
				}
				var ds Diagnostics
				orderFragments(&WebApp{}, frags, &ds)
				if len(ds.Errors()) != 1 || !strings.Contains(ds[0].Message, c.msg) {
					t.Fatalf("%v: got %v, want an error saying %q", order, ds, c.msg)
				}
			})
		})
	}
}

// TestOrderIsStable: what nothing orders stays sorted by the archives' names.
func TestOrderIsStable(t *testing.T) {
	var ds Diagnostics
	got := orderFragments(&WebApp{}, []*WebApp{frag("a>d"), frag("b"), frag("c<*"), frag("d"), frag("e")}, &ds)
	if want := "c b d a e"; names(got) != want || len(ds) > 0 {
		t.Errorf("got %s, want %s %s", names(got), want, ds)
	}
}

func TestAbsoluteOrdering(t *testing.T) {
	for _, c := range []struct{ order, want, warns string }{
		{"c b a", "c b a", ""},
		{"c", "c", ""},
		{"* c", "a b c", ""},
		{"c *", "c a b", ""},
		{"b * a", "b c a", ""},
		{"*", "a b c", ""},
		{"b b", "b", ""},
		{"b wrong", "b", `"wrong"`},
		{"", "", ""},
	} {
		t.Run(c.order, func(t *testing.T) {
			app := &WebApp{Ordering: Ordering{Absolute: []string{}}}
			for _, n := range strings.Fields(c.order) {
				if n == "*" {
					n = OthersName
				}
				app.Ordering.Absolute = append(app.Ordering.Absolute, n)
			}
			var ds Diagnostics
			// Relative orderings do not count, even where they are a circle.
			got := orderFragments(app, []*WebApp{frag("a<b"), frag("b<a"), frag("c")}, &ds)
			if names(got) != c.want || ds.HasErrors() || (c.warns != "") != (len(ds) > 0) || !strings.Contains(ds.String(), c.warns) {
				t.Errorf("got %s, want %s; %s", names(got), c.want, ds)
			}
		})
	}
}

// TestManyFragments: ordering stays quick for a bundle with very many libraries.
func TestManyFragments(t *testing.T) {
	var frags []*WebApp
	for i := range maxLibs {
		frags = append(frags, frag(fmt.Sprintf("f%d<f%d", i, i+1)))
	}
	slices.Reverse(frags)
	var ds Diagnostics
	got := orderFragments(&WebApp{}, frags, &ds)
	if len(ds) > 0 || got[0].fragmentName != "f0" || got[len(got)-1].fragmentName != fmt.Sprintf("f%d", maxLibs-1) {
		t.Errorf("%s ... %s", ds, got[0].fragmentName)
	}
}
