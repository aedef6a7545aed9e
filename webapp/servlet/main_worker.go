package servlet

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// worker is an App that is driven by frames.
type worker struct {
	app  App
	conn *wire.Conn
	// inline has streams served by the goroutine that reads, because there
	// is no other (WebAssembly).
	inline bool

	inst    *Instance
	context *Context
	held    valueCache
	locals  localStore
	calls   atomic.Uint64 // numbers of Call frames
	waiting sync.Map      // number → *pending

	segments atomic.Pointer[[]http.Handler] // by number
	scopes   sync.Map                       // stream id → *scope

	mu       sync.Mutex     // initialisations are one at a time
	requests sync.WaitGroup // streams that are being served
	pool     wire.Pool
	stopped  atomic.Bool // the server wants no more of it
}

func newWorker(app App) *worker {
	w := &worker{app: app}
	w.held.init()
	w.locals.init()
	w.segments.Store(new([]http.Handler))
	return w
}

// control takes the frames of stream 0.
func (w *worker) control(m wire.Msg) error {
	defer m.Free()
	switch m.Type {
	case wire.TypeWelcome:
		if w.inst != nil {
			return errors.New("a second welcome")
		}
		var msg wire.Welcome
		if err := msg.Decode(m.Payload); err != nil {
			return err
		}
		return w.welcome(&msg)
	case wire.TypeStop:
		w.stopped.Store(true)
		go func() {
			w.requests.Wait()
			w.conn.Close(nil)
		}()
	}
	return nil
}

// welcome makes the application's Context.
func (w *worker) welcome(m *wire.Welcome) error {
	if m.Version != wire.Protocol {
		return fmt.Errorf("the server speaks version %d of the worker protocol, this program %d", m.Version, wire.Protocol)
	}
	w.conn.SetWindow(int(m.Window))
	cfg := ContextConfig{
		Path: m.Path, Version: m.AppVersion, Name: m.Name, Params: m.Params,
		Dir: m.Dir, TempDir: m.TempDir, Logger: newWireLogger(w.conn),
		SessionTimeout: time.Duration(m.SessionTimeout) * time.Millisecond,
		Servlets:       m.Servlets,
		MIME:           func(ext string) string { return m.MIME[ext] },
		Sessions: SessionRules{
			SetOnly: m.Rules&wire.RuleSetOnly != 0, ReportReads: m.Rules&wire.RuleReportReads != 0,
			UnencodableLocal: m.Rules&wire.RuleUnencodableLocal != 0, Replicated: m.Rules&wire.RuleReplicated != 0,
		},
	}
	if m.Dir != "" {
		cfg.FS = os.DirFS(m.Dir)
	}
	w.context = NewContext(cfg)
	w.inst = NewInstance(w.app, w.context)
	return nil
}

// accept begins to serve a stream that the server has opened.
func (w *worker) accept(s *wire.Stream, m wire.Msg) {
	if w.inst == nil {
		m.Free()
		s.Close()
		return
	}
	w.requests.Add(1)
	c := newCall(w, s, m)
	if w.inline {
		c.Run()
		return
	}
	w.pool.Add(c)
}

// segment is the handler that InitSegment has made, nil if there is none.
func (w *worker) segment(n uint32) http.Handler {
	list := *w.segments.Load()
	if int(n) >= len(list) {
		return nil
	}
	return list[n]
}

const maxSegments = 1 << 16

func (w *worker) setSegment(n uint32, h http.Handler) error {
	if n >= maxSegments {
		return fmt.Errorf("segment %d: at most %d are allowed", n, maxSegments)
	}
	old := *w.segments.Load()
	list := make([]http.Handler, max(len(old), int(n)+1))
	copy(list, old)
	list[n] = h
	w.segments.Store(&list)
	return nil
}

// init does what an Init frame asks for.
func (w *worker) init(m *wire.Init) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m.Op {
	case wire.InitContext:
		return w.inst.InitContext(m.Listeners, m.Policy)
	case wire.InitFilter:
		return w.inst.InitFilter(definition(m))
	case wire.InitServlet:
		return w.inst.InitServlet(definition(m))
	case wire.InitSegment:
		var next http.Handler
		if m.Servlet == "" {
			next = http.HandlerFunc(nextInContainer)
		}
		h, err := w.inst.Segment(m.Filters, m.Servlet, next)
		if err != nil {
			return err
		}
		return w.setSegment(m.Segment, h)
	case wire.InitDestroy:
		w.inst.Destroy()
		return nil
	}
	return fmt.Errorf("unknown initialisation %d", m.Op)
}

func definition(m *wire.Init) Definition {
	d := Definition{Name: m.Name, Class: m.Class, Params: m.Params}
	if c := m.Multipart; c != nil {
		d.Multipart = &MultipartConfig{
			Location: c.Location, MaxFileSize: c.MaxFileSize, MaxRequestSize: c.MaxRequestSize, FileSizeThreshold: c.FileSizeThreshold,
		}
	}
	return d
}
