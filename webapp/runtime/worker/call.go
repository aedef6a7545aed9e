package worker

import (
	"net/http"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// call answers what the application asks within a request; true if the request
// is over with it.
func (ex *exchange) call(m wire.Msg) (over bool) {
	var c wire.Call
	if err := c.Decode(m.Payload); err != nil {
		m.Free()
		ex.pr.end("killed: " + err.Error())
		return false
	}
	if c.Op == wire.OpUpgrade {
		m.Free()
		return ex.upgrade(&c)
	}
	r, err := ex.answer(&c)
	m.Free()
	ex.reply(&c, r, err)
	return false
}

func (ex *exchange) reply(c *wire.Call, r *wire.Reply, err error) {
	if r == nil {
		r = new(wire.Reply)
	}
	if err != nil {
		r.Failure = servlet.FailureOf(err)
	}
	r.ID = c.ID
	f := wire.NewFrame()
	_ = ex.s.Send(wire.TypeReply, 0, f.Set(r.Append(f.Bytes()))) // the connection's end is seen by TryRecv
}

// answer does what is asked. Reply or error may be nil.
func (ex *exchange) answer(c *wire.Call) (*wire.Reply, error) {
	switch c.Op {
	case wire.OpEncodeURL:
		return &wire.Reply{Text: ex.c.EncodeURL(ex.r, c.Name)}, nil
	case wire.OpLookup:
		if other := ex.x.Context().Context(c.Name); other != nil {
			return &wire.Reply{Flag: true, Text: other.Path()}, nil
		}
		return nil, nil
	case wire.OpSession:
		s, err := ex.x.Session(c.Flag)
		if err != nil || s == nil {
			return nil, err
		}
		r := &wire.Reply{Flag: true, Session: new(wire.Session)}
		return r, ex.pr.held.session(r.Session, s.Backend())
	}
	s, err := ex.x.Session(false)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, servlet.ErrInvalid
	}
	switch c.Op {
	case wire.OpCommit:
		if err := s.Stage(ex.pr.held.changes(c.Changes, s)); err != nil {
			return nil, err
		}
		if c.Flag {
			return nil, ex.c.Barrier(ex.w, ex.r)
		}
		return nil, ex.x.CommitSession()
	case wire.OpInvalidate:
		return nil, s.Invalidate()
	case wire.OpChangeID:
		id, err := s.ChangeID()
		return &wire.Reply{Text: id}, err
	}
	return ex.pr.held.answer(c, s.Backend())
}

// answer does what is asked of a session's backend.
func (h *heldValues) answer(c *wire.Call, b servlet.SessionBackend) (*wire.Reply, error) {
	r := new(wire.Reply)
	switch c.Op {
	case wire.OpLoad:
		v, ok, err := b.Load(c.Name)
		if err != nil || !ok {
			return nil, err
		}
		r.Flag, r.Exists, r.Version, r.Value = true, true, wire.Version(v.Version), v.Bytes
		// It has asked, so it does not hold it: always under a new token.
		r.Token = h.give(b.ID(), c.Name, v.Bytes)
		return r, nil
	case wire.OpSwap:
		value := append(make([]byte, 0, len(c.Value)), c.Value...)
		swapped, now, exists, err := b.CompareAndSwap(c.Name, servlet.Version(c.Version), value)
		if err != nil {
			return nil, err
		}
		r.Flag, r.Exists, r.Version = swapped, exists, wire.Version(now.Version)
		if !swapped {
			r.Value = now.Bytes
		}
		return r, nil
	case wire.OpNames:
		names, err := b.Names()
		r.Names = names
		return r, err
	case wire.OpCommit:
		return nil, b.Commit(h.changes(c.Changes, b))
	case wire.OpInvalidate:
		return nil, b.Invalidate()
	case wire.OpChangeID:
		id, err := b.ChangeID()
		r.Text = id
		return r, err
	}
	return nil, &servlet.StatusError{Code: http.StatusNotImplemented, Message: "this cannot be asked here"}
}
