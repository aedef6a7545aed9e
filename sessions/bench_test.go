package sessions

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/serval-server/serval/descriptor"
)

// BenchmarkRequest is what a request that counts in its session costs here: find,
// read, commit, end. One session is used again and again (hot), or none twice in a
// row (packed).
func BenchmarkRequest(b *testing.B) {
	for name, hot := range map[string]int{"hot": 0, "packed": -1} {
		b.Run(name, func(b *testing.B) {
			m, err := New(Options{App: "localhost/b", Hot: hot})
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			defer func() { _ = m.Close(ctx, false) }()
			var ids []ID
			for range 1000 {
				s, err := m.Create(ctx)
				if err != nil {
					b.Fatal(err)
				}
				ids = append(ids, s.ID())
				s.End()
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s, err := m.Find(ctx, ids[i%len(ids)])
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := s.Attribute("n"); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Commit(ctx, &Changes{Attributes: []Change{{Name: "n", Value: []byte{1, 2, 3, 4}}}}); err != nil {
					b.Fatal(err)
				}
				s.End()
			}
		})
	}
}

// BenchmarkTracker reads the session's id from a request that has other cookies
// too, and writes its cookie.
func BenchmarkTracker(b *testing.B) {
	t, err := NewTracker("/shop", descriptor.SessionConfig{}, descriptor.ContextFile{})
	if err != nil {
		b.Fatal(err)
	}
	const id = ID("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.node1")
	r := httptest.NewRequest(http.MethodGet, "/shop/cart", nil)
	r.Header.Set("Cookie", "theme=dark; _ga=GA1.2.1234567890.1700000000; JSESSIONID="+string(id)+"; lang=en")
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got := t.ReadIDs(r); len(got) != 1 || got[0].ID != id {
				b.Fatal(got)
			}
		}
	})
	b.Run("set", func(b *testing.B) {
		h := http.Header{}
		b.ReportAllocs()
		for b.Loop() {
			clear(h)
			t.SetCookie(h, id, true)
		}
	})
}
