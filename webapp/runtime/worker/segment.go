package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// segment is a part of a chain that the worker answers for. It is put together
// in a process when that process first meets it.
type segment struct {
	p    *Program
	id   uint32
	what string
	init initFrame
	next http.Handler // what follows it in the chain; nil after a servlet
}

// segmentTable is which segments a process has put together.
type segmentTable struct {
	mu   sync.Mutex                      // one is put together at a time
	made atomic.Pointer[map[uint32]bool] // replaced under mu, never changed
}

func (t *segmentTable) has(id uint32) bool {
	made := t.made.Load()
	return made != nil && (*made)[id]
}

// Segment implements webapp.Program.
func (p *Program) Segment(filters []string, name string, next http.Handler) (http.Handler, error) {
	if name == "" && next == nil {
		return nil, errors.New("a segment without a servlet needs what comes next")
	}
	key := strings.Join(append(filters[:len(filters):len(filters)], name), "\x00")
	p.mu.Lock()
	defer p.mu.Unlock()
	id, known := p.segments[key]
	if !known {
		id = uint32(len(p.segments)) + 1
		p.segments[key] = id
	}
	m := wire.Init{Op: wire.InitSegment, Segment: id, Filters: filters, Servlet: name}
	what := fmt.Sprintf("chain of filters %q", filters)
	if name != "" {
		what = fmt.Sprintf("servlet %q behind its filters %q", name, filters)
	}
	return &segment{p: p, id: id, next: next, what: what, init: initFrame{what: what, payload: m.Append(nil)}}, nil
}

// prepare has the process put the segment together, once.
func (sg *segment) prepare(ctx context.Context, pr *process) error {
	t := &pr.segments
	if t.has(sg.id) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.has(sg.id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sg.p.startTimeout())
	defer cancel()
	if err := pr.initialise(ctx, sg.init); err != nil {
		return err
	}
	made := map[uint32]bool{sg.id: true}
	if old := t.made.Load(); old != nil {
		maps.Copy(made, *old)
	}
	t.made.Store(&made)
	return nil
}

// parentKey is the key of the stream of the Dispatch that a request came by.
type parentKey struct{}

// parent is where a nested request comes from.
type parent struct {
	process *process
	stream  uint32
	gate    *sync.Mutex
}

// ServeHTTP implements http.Handler.
func (sg *segment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := sg.p
	pass := servlet.PassOf(r)
	if pass == nil {
		panic(servlet.ErrNoContainer)
	}
	from, nested := r.Context().Value(parentKey{}).(parent)
	if !nested {
		if !p.limit.enter() {
			unavailable(w, r, pass, fmt.Errorf("%d requests are open, which is the limit", p.limit.max))
			return
		}
	}
	ex := &exchange{sg: sg, w: w, r: r, pass: pass, x: pass.Exchange, c: pass.Exchange.Container(), nested: nested}
	if nested {
		ex.gate = from.gate
	} else {
		ex.gate = &ex.own
	}
	defer ex.release()
	if err := ex.begin(from); err != nil {
		unavailable(w, r, pass, err)
		return
	}
	ex.run()
}

// unavailable answers 503 with Retry-After.
func unavailable(w http.ResponseWriter, r *http.Request, pass *servlet.Pass, err error) {
	pass.Exchange.Context().Logger().Warn("request refused", "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "1")
	if e := pass.Exchange.Container().SendError(w, r, http.StatusServiceUnavailable, "The application is busy or starting."); e != nil {
		panic(http.ErrAbortHandler)
	}
}

// begin finds a process and opens the request's stream. A process that ends
// before the request has reached it is replaced by the next.
func (ex *exchange) begin(from parent) error {
	p := ex.sg.p
	if t := p.launch.Settings.RequestTimeout; t > 0 {
		ex.deadline = time.Now().Add(t)
	}
	in := invocations.Get().(*invocation)
	defer invocations.Put(in)
	in.flags, in.read = 0, false
	ctx := ex.r.Context()
	for attempt := 1; ; attempt++ {
		pr, err := p.process(ctx)
		if err != nil {
			return err
		}
		err = ex.open(ctx, pr, from, in)
		if err == nil || !errors.Is(err, wire.ErrClosed) || attempt == maxAttempts {
			return err
		}
	}
}

// maxAttempts bounds how many processes a request may see die before it reaches
// one.
const maxAttempts = 5

// open opens the request's stream to a process. An error that is ErrClosed means
// that nothing of it has been sent.
func (ex *exchange) open(ctx context.Context, pr *process, from parent, in *invocation) error {
	scope := uint32(0)
	if ex.nested && from.process == pr {
		scope = from.stream
	} else if rs, ok := ex.sg.p.scopes.Load(ex.x); ok && rs.(*requestScope).process == pr {
		scope = rs.(*requestScope).stream.ID()
	}
	if err := ex.sg.prepare(ctx, pr); err != nil {
		return err
	}
	ex.pr = pr
	frame, err := ex.invoke(in, scope, ex.nested && scope != 0)
	if err != nil {
		return err
	}
	ex.s, err = pr.conn.OpenWith(wire.TypeInvoke, in.flags, frame, ex, nil)
	return err
}

// process is ready within the time that a request may wait for a restart.
func (p *Program) process(ctx context.Context) (*process, error) {
	if pr := p.usable(); pr != nil {
		return pr, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.WaitRestart)
	defer cancel()
	return p.ready(ctx)
}
