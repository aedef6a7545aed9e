package sessions

import (
	"context"
	"testing"
)

func TestSmoke(t *testing.T) {
	m, err := New(Options{App: "localhost/", Hot: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s, err := m.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Commit(ctx, &Changes{Attributes: []Change{{Name: "a", Value: []byte{1}}, {Name: "b", Value: []byte("xyz")}}})
	if err != nil || d.IsZero() {
		t.Fatal(d, err)
	}
	id := s.ID()
	s.End()
	s, err = m.Find(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	a, ok, err := s.Attribute("b")
	t.Log(a, ok, err, s.IsNew(), s.Created(), s.LastAccessed(), m.Stats())
	s.End()
	if err := m.Close(ctx, false); err != nil {
		t.Fatal(err)
	}
}
