package descriptor

import (
	"fmt"
	"strings"
	"testing"
)

// constraint declares a security constraint: "/a GET,POST" or "/a !GET" or "/a".
func constraint(spec string) SecurityConstraint {
	pattern, methods, _ := strings.Cut(spec, " ")
	c := ResourceCollection{Patterns: []Pattern{{URL: pattern}}}
	switch {
	case strings.HasPrefix(methods, "!"):
		c.OmittedMethods = strings.Split(methods[1:], ",")
	case methods != "":
		c.Methods = strings.Split(methods, ",")
	}
	return SecurityConstraint{Collections: []ResourceCollection{c}}
}

// TestUncoveredMethods covers Tomcat's TestSecurityConstraint: what is left open by lists, by omissions and
// by their combination.
func TestUncoveredMethods(t *testing.T) {
	for _, c := range []struct {
		constraints []string
		want        string
	}{
		{nil, ""},
		{[]string{"/a"}, ""},
		{[]string{"/a GET"}, "/a: all but GET"},
		{[]string{"/a POST,GET"}, "/a: all but GET,POST"},
		{[]string{"/a GET", "/a POST"}, "/a: all but GET,POST"},
		{[]string{"/a GET", "/a"}, ""},
		{[]string{"/a !GET"}, "/a: GET"},
		{[]string{"/a !GET,POST"}, "/a: GET,POST"},
		{[]string{"/a !GET", "/a GET"}, ""},
		{[]string{"/a !GET,POST", "/a GET"}, "/a: POST"},
		{[]string{"/a !GET", "/a !POST"}, ""},
		{[]string{"/a !GET,POST", "/a !POST,PUT"}, "/a: POST"},
		{[]string{"/a GET", "/b !GET", "/c"}, "/a: all but GET; /b: GET"},
		{[]string{"/a !GET", "/b GET"}, "/a: GET; /b: all but GET"}, // one pattern does not cover another
	} {
		t.Run(fmt.Sprint(c.constraints), func(t *testing.T) {
			app := &WebApp{}
			for _, s := range c.constraints {
				app.SecurityConstraints = append(app.SecurityConstraints, constraint(s))
			}
			var got []string
			for _, u := range app.UncoveredMethods() {
				if len(u.Open) > 0 {
					got = append(got, u.Pattern+": "+strings.Join(u.Open, ","))
				} else {
					got = append(got, u.Pattern+": all but "+strings.Join(u.Covered, ","))
				}
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("got %q, want %q", strings.Join(got, "; "), c.want)
			}
			var ds Diagnostics
			app.checkUncovered(&ds)
			if len(ds) != len(got) {
				t.Errorf("warnings:\n%s", ds)
			}
			app.DenyUncovered = true
			ds = nil
			if app.checkUncovered(&ds); len(ds) > 0 {
				t.Errorf("warnings although uncovered methods are denied:\n%s", ds)
			}
		})
	}
}
