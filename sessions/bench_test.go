package sessions

import (
	"context"
	"testing"
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
