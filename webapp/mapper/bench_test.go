package mapper

import (
	"fmt"
	"testing"
)

// BenchmarkHost maps paths to one of many contexts.
func BenchmarkHost(b *testing.B) {
	entries := []Entry[int]{{Path: "", App: 0}}
	for i := range 100 {
		entries = append(entries, Entry[int]{Path: fmt.Sprintf("/app%d", i), App: i})
	}
	h, err := NewHost(entries)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if e, ok := h.Map("/app42/orders/17/lines", nil); !ok || e.App != 42 {
			b.Fatal(e, ok)
		}
	}
}

// BenchmarkTable maps paths to servlets by each kind of pattern.
func BenchmarkTable(b *testing.B) {
	m := []Mapping{{Pattern: "/", Servlet: "default"}, {Pattern: "*.do", Servlet: "do"}}
	for i := range 50 {
		m = append(m, Mapping{Pattern: fmt.Sprintf("/exact%d", i), Servlet: "exact"}, Mapping{Pattern: fmt.Sprintf("/prefix%d/*", i), Servlet: "prefix"})
	}
	t, err := NewTable(Config{Mappings: m})
	if err != nil {
		b.Fatal(err)
	}
	for name, path := range map[string]string{"exact": "/exact7", "prefix": "/prefix7/a/b/c", "extension": "/orders/list.do", "default": "/img/logo.png"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, ok := t.Map(path); !ok || got.Servlet == "" {
					b.Fatal(got, ok)
				}
			}
		})
	}
}
