package shop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestCart(t *testing.T) {
	var c Cart
	c.Set("tent", 1)
	c.Set("map", 2)
	c.Set("tent", 20)
	if c.Count() != maxCount+2 {
		t.Errorf("count %d, want %d", c.Count(), maxCount+2)
	}
	if want := int64(maxCount*24900 + 2*1290); c.Total() != want {
		t.Errorf("total %d, want %d", c.Total(), want)
	}
	c.Set("tent", 0)
	c.Set("no longer sold", 1)
	if c.Total() != 2*1290 || len(c.Entries()) != 1 {
		t.Errorf("total %d of %d entries, want two maps", c.Total(), len(c.Entries()))
	}
	c.Set("map", -3)
	if c.countOf("map") != 0 {
		t.Errorf("a negative count left %d", c.countOf("map"))
	}
}

func TestMoney(t *testing.T) {
	for cents, want := range map[Money]string{0: "€ 0.00", 5: "€ 0.05", 24900: "€ 249.00"} {
		if got := cents.String(); got != want {
			t.Errorf("%d: %q, want %q", int64(cents), got, want)
		}
	}
}

// Pages that need no session can be tested as any http.Handler.
func TestPages(t *testing.T) {
	tests := []struct {
		target string
		status int
		want   string
	}{
		{"/", 200, "Two-person tent"},
		{"/?kind=light", 200, "Head lamp"},
		{"/?kind=%3Cscript%3E", 200, "Nothing of this kind"},
		{"/product/stove", 200, "€ 54.90"},
		{"/product/nosuch", 404, ""},
		{"/cart", 200, "nothing in it yet"},
		{"/checkout", 303, ""},
		{"/order", 303, ""},
	}
	h := routes()
	for _, tt := range tests {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", tt.target, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("GET %s: status %d, want %d with %q in %q", tt.target, w.Code, tt.status, tt.want, w.Body)
		}
	}
}

func TestForm(t *testing.T) {
	tests := []struct {
		name, email, address string
		problems             []string
	}{
		{"Ada", "ada@example.com", "1 Lane", nil},
		{" ", "ada@example.com", "1 Lane", []string{"name"}},
		{"Ada", "Ada <ada@example.com>", "", []string{"email", "address"}},
		{strings.Repeat("a", 201), "x", strings.Repeat("a", 1001), []string{"name", "email", "address"}},
	}
	for _, tt := range tests {
		v := url.Values{"name": {tt.name}, "email": {tt.email}, "address": {tt.address}}
		r := httptest.NewRequest("POST", "/checkout", strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		f := readForm(r, Cart{})
		if len(f.Problems) != len(tt.problems) {
			t.Errorf("%q: problems %v, want %v", tt.name, f.Problems, tt.problems)
		}
		for _, p := range tt.problems {
			if f.Problems[p] == "" {
				t.Errorf("%q: no problem with %s", tt.name, p)
			}
		}
	}
}

func TestSameOrigin(t *testing.T) {
	h := sameOrigin(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	for site, want := range map[string]int{"same-origin": 204, "none": 204, "cross-site": 403} {
		r := httptest.NewRequest("POST", "/cart/add", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", site, w.Code, want)
		}
	}
}
