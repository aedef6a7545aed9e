package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// replayStream is the stream of initialisations that an instance does again. The
// server never gets that far.
const replayStream = 1<<32 - 1

// route brings a frame of the server's to the instance that it is for.
func (h *host) route(hd wire.Header, frame []byte) error {
	if hd.Stream == 0 {
		return h.control(hd, frame)
	}
	payload := frame[wire.HeaderLen:]
	switch hd.Type {
	case wire.TypeInvoke:
		if scope := scopeOf(payload); scope != 0 && h.nested(hd.Stream, scope, frame) {
			return nil
		}
		h.root(hd, frame, h.serve)
	case wire.TypeEvent:
		h.root(hd, frame, h.serve)
	case wire.TypeInit:
		h.root(hd, frame, h.serveInit)
	case wire.TypeHello, wire.TypeWelcome, wire.TypePing, wire.TypePong, wire.TypeLog, wire.TypeStop, wire.TypeDispatch,
		wire.TypeResponse, wire.TypeData, wire.TypeEnd, wire.TypeWindow, wire.TypeCancel, wire.TypeCall, wire.TypeReply:
		h.deliver(hd, frame)
	}
	return nil
}

func (h *host) control(hd wire.Header, frame []byte) error {
	switch hd.Type {
	case wire.TypeWelcome:
		if h.welcome != nil {
			return fmt.Errorf("a second welcome")
		}
		w, err := h.guestWelcome(frame[wire.HeaderLen:])
		if err != nil {
			return err
		}
		h.welcome = w
		close(h.welcomed)
	case wire.TypePing:
		return h.write(wire.AppendFrame(nil, wire.TypePong, 0, 0, frame[wire.HeaderLen:]))
	case wire.TypeStop, wire.TypePong:
	default:
		return fmt.Errorf("unexpected %s", hd.Type)
	}
	return nil
}

// scopeOf reads what an Invoke is a part of.
func scopeOf(payload []byte) uint32 {
	d := wire.NewDecoder(payload)
	d.Uint32()
	return d.Uint32()
}

// nested hands an Invoke to the instance that waits for it.
func (h *host) nested(id, scope uint32, frame []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[scope]
	if s == nil || s.in == nil {
		return false
	}
	// It has not been told of what was initialised since it began to serve.
	for ; s.in.done < len(h.inits); s.in.done++ {
		s.in.pushLocked(replayFrame(h.inits[s.in.done]))
	}
	h.streams[id] = &stream{in: s.in}
	s.in.opened = append(s.in.opened, id)
	s.in.pushLocked(frame)
	return true
}

// deliver brings a frame to a stream that is open; others are late.
func (h *host) deliver(hd wire.Header, frame []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[hd.Stream]
	switch {
	case s == nil:
		return
	case s.in == nil:
		s.canceled = s.canceled || hd.Type == wire.TypeCancel
		s.waiting = append(s.waiting, frame)
	default:
		s.in.pushLocked(frame)
	}
	if hd.Stream%2 == 0 && (hd.Type == wire.TypeEnd || hd.Flags&wire.FlagEnd != 0) {
		delete(h.streams, hd.Stream) // a guest's dispatch is over
	}
}

// root begins to serve a stream that is not a part of another.
func (h *host) root(hd wire.Header, frame []byte, serve func(context.Context, wire.Header, []byte)) {
	h.mu.Lock()
	h.streams[hd.Stream] = &stream{}
	h.mu.Unlock()
	h.pool.Add(&root{hd, frame, serve})
}

// root is a stream that is to be served.
type root struct {
	hd    wire.Header
	frame []byte
	serve func(context.Context, wire.Header, []byte)
}

// Run implements wire.Task.
func (t *root) Run() { t.serve(context.Background(), t.hd, t.frame) }

// serve has an instance serve a request or an event.
func (h *host) serve(ctx context.Context, hd wire.Header, frame []byte) {
	slots := h.slots
	if payload := frame[wire.HeaderLen:]; hd.Type == wire.TypeEvent && len(payload) > 0 && !beginsRequest(payload) {
		slots = h.events
	}
	in, err := h.get(ctx, slots)
	var last []byte
	if err == nil {
		err = in.run(hd.Stream, frame)
		last = in.last
		h.put(in)
	}
	h.forget(hd.Stream)
	h.finish(hd.Stream, last, err)
}

// finish ends a root stream: with what the instance has said last, or, if it has
// not come so far, for it.
func (h *host) finish(id uint32, last []byte, err error) {
	if last != nil {
		_ = h.write(last) // the reader sees the connection's end
		return
	}
	if err == nil {
		err = errors.New("the module did not answer")
	}
	h.fail(id, err)
}

// beginsRequest reports that an event's instance is that of the request whose
// listeners it tells, until the request's end: it takes its turn as a request does.
func beginsRequest(event []byte) bool {
	return servlet.EventKind(event[0]) == servlet.RequestInitialized
}

// forget ends a root stream on this side.
func (h *host) forget(id uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, id)
}

// fail answers for an instance that could not.
func (h *host) fail(id uint32, err error) {
	m := wire.Response{Failure: &wire.Failure{Kind: wire.FailError, Status: 502, Message: err.Error()}}
	_ = h.write(wire.AppendFrame(nil, wire.TypeEnd, wire.FlagEnd, id, m.Append(nil))) // the reader sees the connection's end
}

// serveInit has an instance initialise something, which then every instance has
// to do before it serves. The end is told to all.
func (h *host) serveInit(ctx context.Context, hd wire.Header, frame []byte) {
	h.initMu.Lock()
	defer h.initMu.Unlock()
	payload := frame[wire.HeaderLen:]
	if len(payload) > 0 && wire.InitOp(payload[0]) == wire.InitDestroy {
		h.destroy(ctx, payload)
	}
	in, err := h.get(ctx, h.slots)
	var last []byte
	if err == nil {
		in.failed = false
		err = in.run(hd.Stream, frame)
		last = in.last
		if err == nil && !in.failed {
			h.mu.Lock()
			h.inits = append(h.inits, payload)
			in.done++
			h.mu.Unlock()
		}
		h.put(in)
	}
	h.forget(hd.Stream)
	if err != nil {
		last = nil // it is not to be used
	}
	h.finish(hd.Stream, last, err)
}

// destroy tells all idle instances but one, which answers.
func (h *host) destroy(ctx context.Context, payload []byte) {
	h.mu.Lock()
	var others []*instance
	if len(h.idle) > 1 {
		others = append(others, h.idle[:len(h.idle)-1]...)
		h.idle = h.idle[len(h.idle)-1:]
	}
	h.mu.Unlock()
	for _, in := range others {
		_ = in.replay(payload) // it ends in any case
		in.close(ctx)
	}
}
