package testapp

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/serval-server/serval/webapp/servlet"
)

// Parcel is a session attribute that hears when its session is sent away and comes
// back. It notes in itself that it was sent.
type Parcel struct {
	To   string
	Sent int
}

// SessionWillPassivate implements servlet.ActivationListener.
func (p *Parcel) SessionWillPassivate(e servlet.BindingEvent) {
	p.Sent++
	p.note("away", e)
}

// SessionDidActivate implements servlet.ActivationListener.
func (p *Parcel) SessionDidActivate(e servlet.BindingEvent) { p.note("back", e) }

func (p *Parcel) note(what string, e servlet.BindingEvent) {
	if j, ok := e.Context.Attribute("journal").(*journal); ok {
		j.add("parcel %s %v", what, e.Cause)
	}
}

// deny is a policy of the application's own that allows nothing.
type deny struct{}

// AllowSessionListener implements servlet.NotificationPolicy.
func (deny) AllowSessionListener(servlet.Status, servlet.Cause, bool) bool { return false }

// AllowAttributeListener implements servlet.NotificationPolicy.
func (deny) AllowAttributeListener(servlet.Status, servlet.Cause, string, bool) bool { return false }

// AllowBindingListener implements servlet.NotificationPolicy.
func (deny) AllowBindingListener(servlet.Status, servlet.Cause, string, bool) bool { return false }

// AllowActivationListener implements servlet.NotificationPolicy.
func (deny) AllowActivationListener(servlet.Status, servlet.Cause, string, bool) bool { return false }

// spy allows everything and writes down what it is asked.
type spy struct{ j *journal }

func (p *spy) asked(what string, s servlet.Status, c servlet.Cause, name string, local bool) bool {
	var is []string
	for _, f := range []struct {
		on   bool
		name string
	}{{s.LocallyUsed, "used"}, {s.LocallyOwned, "owned"}, {s.Replicated, "replicated"}, {local, "local"}} {
		if f.on {
			is = append(is, f.name)
		}
	}
	p.j.add("asked %s %v %s%s", what, c, name, strings.Join(is, "+"))
	return true
}

// AllowSessionListener implements servlet.NotificationPolicy.
func (p *spy) AllowSessionListener(s servlet.Status, c servlet.Cause, local bool) bool {
	return p.asked("session", s, c, "", local)
}

// AllowAttributeListener implements servlet.NotificationPolicy.
func (p *spy) AllowAttributeListener(s servlet.Status, c servlet.Cause, name string, local bool) bool {
	return p.asked("attribute", s, c, name+" ", local)
}

// AllowBindingListener implements servlet.NotificationPolicy.
func (p *spy) AllowBindingListener(s servlet.Status, c servlet.Cause, name string, local bool) bool {
	return p.asked("binding", s, c, name+" ", local)
}

// AllowActivationListener implements servlet.NotificationPolicy.
func (p *spy) AllowActivationListener(s servlet.Status, c servlet.Cause, name string, local bool) bool {
	return p.asked("activation", s, c, name+" ", local)
}

// gate changes its session and lets something of its answer out, in the way that
// the query says, then does both again.
func gate(w http.ResponseWriter, r *http.Request) {
	s := servlet.SessionOf(r)
	for i := range 2 {
		if err := servlet.Set(s, "gate", i); err != nil {
			servlet.Fail(w, r, err)
			return
		}
		var err error
		switch r.URL.Query().Get("how") {
		case "flush":
			fmt.Fprintf(w, "part %d,", i)
			err = http.NewResponseController(w).Flush()
		case "overflow":
			_, err = io.WriteString(w, strings.Repeat("x", 50_000))
		case "barrier":
			if err = servlet.Barrier(w, r); err != nil {
				servlet.Fail(w, r, err)
			}
		case "error":
			err = servlet.SendError(w, r, http.StatusConflict, "")
			if err == nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
	fmt.Fprint(w, "end")
}
