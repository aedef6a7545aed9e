package examples

import (
	"errors"
	"net/http"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// visits is a session attribute. Any type with exported fields will do.
type visits struct {
	Count int       `cbor:"count"`
	Last  time.Time `cbor:"last"`
	Notes []string  `cbor:"notes"`
}

func sessionDemo(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		changeSession(w, r)
		return
	}
	s := servlet.ExistingSession(r) // makes none
	data := struct {
		Session *servlet.Session
		Visits  visits
	}{Session: s}
	if s != nil {
		v, err := servlet.Get[visits](s, "visits")
		if err != nil && !errors.Is(err, servlet.ErrNoAttribute) {
			servlet.Fail(w, r, err)
			return
		}
		data.Visits = v
	}
	show(w, r, "/session", data)
}

func changeSession(w http.ResponseWriter, r *http.Request) {
	s := servlet.SessionOf(r) // makes one if there is none
	var err error
	switch r.PostFormValue("do") {
	case "count":
		// Update is atomic: of two requests at once, both count.
		err = servlet.Update(s, "visits", func(v visits, _ bool) (visits, error) {
			v.Count++
			v.Last = time.Now()
			return v, nil
		})
	case "note":
		// Get and Set: of two requests at once, the last one wins.
		v, _ := servlet.Get[visits](s, "visits")
		note := r.PostFormValue("note")
		if len(note) > 80 {
			note = note[:80]
		}
		v.Notes = append(v.Notes, note)
		if len(v.Notes) > 5 {
			v.Notes = v.Notes[1:]
		}
		err = servlet.Set(s, "visits", v)
	case "id":
		_, err = s.ChangeID() // as one does at login
	case "end":
		err = s.Invalidate()
	}
	if err != nil {
		servlet.Fail(w, r, err)
		return
	}
	http.Redirect(w, r, servlet.EncodeURL(r, servlet.ContextPath(r)+"/session"), http.StatusSeeOther)
}
