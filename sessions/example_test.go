package sessions_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// A handler that keeps a counter in the session, as a container would do it.
func Example() {
	m, err := sessions.New(sessions.Options{App: "localhost/shop", Route: "n1"})
	if err != nil {
		panic(err)
	}
	m.Start()
	defer func() { _ = m.Close(context.Background(), false) }()
	tracker, err := sessions.NewTracker("/shop", descriptor.SessionConfig{}, descriptor.ContextFile{})
	if err != nil {
		panic(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		var s *sessions.Session
		for _, q := range tracker.ReadIDs(r) {
			if s, _ = m.Find(r.Context(), q.ID); s != nil {
				break
			}
		}
		if s == nil {
			if s, err = m.Create(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			tracker.SetCookie(w.Header(), s.ID(), r.TLS != nil)
		}
		defer s.End()
		a, _, _ := s.Attribute("hits")
		hits := append(a.Value, '|')
		if _, err := s.Commit(r.Context(), &sessions.Changes{Attributes: []sessions.Change{{Name: "hits", Value: hits}}}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s new=%v", hits, s.IsNew())
	}
	var cookie *http.Cookie
	for range 3 {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/shop/", nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		handler(w, r)
		if c := w.Result().Cookies(); len(c) > 0 {
			cookie = c[0]
		}
		fmt.Println(w.Body)
	}
	fmt.Println(cookie.Path, cookie.HttpOnly, cookie.SameSite == http.SameSiteLaxMode)
	// Output:
	// | new=true
	// || new=false
	// ||| new=false
	// /shop true true
}
