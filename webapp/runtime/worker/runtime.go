package worker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/webapp"
	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// Runtime starts programs as worker processes. It implements webapp.Runtime.
type Runtime struct{ opts Options }

var (
	_ webapp.Runtime   = (*Runtime)(nil)
	_ webapp.Program   = (*Program)(nil)
	_ webapp.Inspector = (*Program)(nil)
)

// New checks the options. Nothing is started.
func New(o Options) (*Runtime, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Runtime{opts: o}, nil
}

// Start implements webapp.Runtime. It returns when the first process has
// introduced itself.
func (rt *Runtime) Start(ctx context.Context, launch webapp.Launch) (webapp.Program, error) {
	p := newProgram(rt.opts, launch)
	pr, err := p.startProcess(ctx)
	if err != nil {
		return nil, err
	}
	p.set(pr, nil)
	p.wg.Go(func() { p.supervise(pr) })
	return p, nil
}

// Program is an application that runs in a worker process, and in another one
// when that has died. It implements webapp.Program.
type Program struct {
	opts    Options
	launch  webapp.Launch
	welcome wire.Welcome
	limit   limiter

	restarts atomic.Int64
	scopes   sync.Map // *servlet.Exchange → *requestScope

	current atomic.Pointer[process] // nil while there is none

	mu       sync.Mutex
	down     error                 // guarded by mu; why there is none
	since    time.Time             // guarded by mu; when there was none any more, zero if there is one
	changed  chan struct{}         // guarded by mu; closed when current or down changes
	inits    []initFrame           // guarded by mu; what a new process must do again
	segments map[string]uint32     // guarded by mu; numbers of segments, by what they are made of
	kinds    servlet.ListenerKinds // guarded by mu; what the declared listeners hear
	binding  bool                  // guarded by mu; values of attributes may listen

	stopping chan struct{} // closed by Stop
	stopOnce sync.Once
	wg       sync.WaitGroup
}

type initFrame struct {
	what    string
	payload []byte
}

func newProgram(o Options, launch webapp.Launch) *Program {
	cfg := launch.Context.Config()
	p := &Program{opts: o, launch: launch, changed: make(chan struct{}), segments: make(map[string]uint32), stopping: make(chan struct{})}
	p.limit.init(launch.Settings.MaxRequests)
	p.welcome = wire.Welcome{
		Version: wire.Protocol, Server: o.Server, Window: uint64(o.Window), Path: cfg.Path, AppVersion: cfg.Version, Name: cfg.Name,
		Params: cfg.Params, Dir: cfg.Dir, TempDir: cfg.TempDir, SessionTimeout: cfg.SessionTimeout.Milliseconds(), Servlets: cfg.Servlets,
	}
	for _, r := range [...]struct {
		on  bool
		bit uint64
	}{
		{cfg.Sessions.SetOnly, wire.RuleSetOnly}, {cfg.Sessions.ReportReads, wire.RuleReportReads},
		{cfg.Sessions.UnencodableLocal, wire.RuleUnencodableLocal}, {cfg.Sessions.Replicated, wire.RuleReplicated},
	} {
		if r.on {
			p.welcome.Rules |= r.bit
		}
	}
	if o.Window <= 0 {
		p.welcome.Window = wire.DefaultWindow
	}
	if o.BundleDir != "" {
		p.welcome.Dir = o.BundleDir
	}
	if cfg.MIME != nil {
		p.welcome.MIME = mimeTable(cfg.MIME)
	}
	return p
}

// mimeTable asks for the extensions that applications ask for; the function
// that knows them cannot travel.
func mimeTable(mime func(string) string) map[string]string {
	m := make(map[string]string)
	for ext := range strings.FieldsSeq("aac atom avif bin bmp bz2 css csv doc docx eot epub flac gif gohtml gz htm html ico ics jar jpeg jpg js json " +
		"jsonld map md mjs mov mp3 mp4 mpeg odp ods odt oga ogg ogv otf pdf png ppt pptx ps rar rss rtf sh svg swf tar tif tiff toml ts ttf txt " +
		"wasm wav weba webm webmanifest webp woff woff2 xhtml xls xlsx xml xsl xslt yaml yml zip zst") {
		if t := mime(ext); t != "" {
			m[ext] = t
		}
	}
	return m
}

// Components implements webapp.Program.
func (p *Program) Components() servlet.Components {
	pr := p.current.Load()
	if pr == nil {
		return servlet.Components{}
	}
	return pr.components()
}

// ProcessID implements webapp.Inspector.
func (p *Program) ProcessID() int {
	pr := p.current.Load()
	if pr == nil {
		return 0
	}
	return pr.pid
}

// Restarts is how often the process has been replaced.
func (p *Program) Restarts() int { return int(p.restarts.Load()) }

// InitContext implements webapp.Program.
func (p *Program) InitContext(ctx context.Context, listeners []string, policy string) error {
	c := p.Components()
	p.mu.Lock()
	for _, l := range listeners {
		p.kinds |= c.Listeners[l]
	}
	p.binding = c.Binding || c.Activation
	p.mu.Unlock()
	return p.initialise(ctx, "context", &wire.Init{Op: wire.InitContext, Listeners: listeners, Policy: policy})
}

// InitFilter implements webapp.Program.
func (p *Program) InitFilter(ctx context.Context, d servlet.Definition) error {
	return p.initialise(ctx, fmt.Sprintf("filter %q", d.Name), definition(wire.InitFilter, d))
}

// InitServlet implements webapp.Program.
func (p *Program) InitServlet(ctx context.Context, d servlet.Definition) error {
	return p.initialise(ctx, fmt.Sprintf("servlet %q", d.Name), definition(wire.InitServlet, d))
}

func definition(op wire.InitOp, d servlet.Definition) *wire.Init {
	m := &wire.Init{Op: op, Name: d.Name, Class: d.Class, Params: d.Params}
	if c := d.Multipart; c != nil {
		m.Multipart = &wire.Multipart{
			Location: c.Location, MaxFileSize: c.MaxFileSize, MaxRequestSize: c.MaxRequestSize, FileSizeThreshold: c.FileSizeThreshold,
		}
	}
	return m
}

// initialise has the present process do something, and remembers it for the
// next ones if it went well.
func (p *Program) initialise(ctx context.Context, what string, m *wire.Init) error {
	ctx, cancel := context.WithTimeout(ctx, p.startTimeout())
	defer cancel()
	pr, err := p.ready(ctx)
	if err != nil {
		return err
	}
	f := initFrame{what: what, payload: m.Append(nil)}
	if err := pr.initialise(ctx, f); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inits = append(p.inits, f)
	return nil
}

func (p *Program) startTimeout() time.Duration {
	if d := p.launch.Settings.StartTimeout; d > 0 {
		return d
	}
	return DefaultStartTimeout
}

// initialise sends an Init frame and waits for its end.
func (pr *process) initialise(ctx context.Context, f initFrame) error {
	frame := wire.NewFrame()
	s, err := pr.conn.Open(wire.TypeInit, wire.FlagEnd, frame.Set(append(frame.Bytes(), f.payload...)))
	if err != nil {
		return fmt.Errorf("%s: %w", f.what, err)
	}
	defer s.Close()
	err = awaitEnd(ctx, s, nil)
	if err != nil && context.Cause(ctx) != nil {
		return fmt.Errorf("%s: the worker did not answer in time: %w", f.what, err)
	}
	return err
}

// awaitEnd waits for the End of a stream, and serves calls before it.
func awaitEnd(ctx context.Context, s *wire.Stream, calls func(*wire.Call) *wire.Reply) error {
	for {
		m, err := s.Recv(ctx)
		if err != nil {
			return err
		}
		if m.Type == wire.TypeCall {
			answerCall(s, m, calls)
			continue
		}
		var r wire.Response
		err = r.Decode(m.Payload)
		over := m.End()
		m.Free()
		if err != nil {
			return err
		}
		if over || m.Type == wire.TypeResponse {
			return servlet.ErrorOf(r.Failure)
		}
	}
}

func answerCall(s *wire.Stream, m wire.Msg, calls func(*wire.Call) *wire.Reply) {
	defer m.Free()
	var c wire.Call
	r := &wire.Reply{Failure: &wire.Failure{Kind: wire.FailError, Message: "there is nothing to ask for here"}}
	if err := c.Decode(m.Payload); err != nil {
		r.Failure.Message = err.Error()
	} else if calls != nil {
		r = calls(&c)
	}
	r.ID = c.ID
	f := wire.NewFrame()
	_ = s.Send(wire.TypeReply, 0, f.Set(r.Append(f.Bytes()))) // the connection's end is noticed elsewhere
}
