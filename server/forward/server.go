package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/server/conninfo"
)

// ServerOptions configure a Server.
type ServerOptions struct {
	// Handler answers the requests: the node's hosts, without valves.
	Handler http.Handler
	// HeaderTimeout bounds the time from the opening of a stream to the end of
	// the request's headers, 20 s if zero.
	HeaderTimeout time.Duration
	// MaxHeaderBytes bounds request line and headers, http.DefaultMaxHeaderBytes
	// if zero. It should be what the connectors allow, or more.
	MaxHeaderBytes int
	// Logger must not be nil.
	Logger *slog.Logger
}

// Server answers the requests that other nodes forward to this one.
type Server struct {
	http    *http.Server
	handler http.Handler
	log     *slog.Logger
	served  atomic.Uint64
	wait    sync.WaitGroup
	refuse  atomic.Bool  // streams that come now are refused
	open    atomic.Int64 // streams that were not
}

// NewServer makes a Server. It serves nothing before Serve.
func NewServer(o ServerOptions) *Server {
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 20 * time.Second
	}
	s := &Server{handler: o.Handler, log: o.Logger}
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: o.HeaderTimeout, MaxHeaderBytes: o.MaxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, streamKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	// A stream carries one request; the next one has a preamble of its own.
	s.http.SetKeepAlivesEnabled(false)
	return s
}

// Serve takes the streams of a listener, in a goroutine that Shutdown and Close end.
func (s *Server) Serve(l net.Listener) {
	s.wait.Go(func() {
		if err := s.http.Serve(listener{l, s}); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.log.Error("forwarded requests are no longer taken", "error", err)
		}
	})
}

// Served is how many forwarded requests have come.
func (s *Server) Served() uint64 { return s.served.Load() }

// Refuse has requests that come from now on sent elsewhere, and waits for those that
// are open, until the context ends. The other nodes are told that they were not
// executed, so that they can try again: Close is for when none can come any more.
func (s *Server) Refuse(ctx context.Context) error {
	s.refuse.Store(true)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.open.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d forwarded requests are open: %w", s.open.Load(), ctx.Err())
		}
	}
	return nil
}

// Close breaks off all requests.
func (s *Server) Close() error {
	err := s.http.Close()
	s.wait.Wait()
	return err
}

type (
	streamKey struct{}
	hopsKey   struct{}
)

// Hops is how often the request that a context belongs to has been forwarded: 0 for
// one that came from its client.
func Hops(ctx context.Context) int {
	n, _ := ctx.Value(hopsKey{}).(int)
	return n
}

// serve gives a request what its preamble says, and passes it on.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	st, ok := r.Context().Value(streamKey{}).(*stream)
	if !ok || st.preamble == nil { // impossible: the request came after it
		http.Error(w, "no preamble", http.StatusBadRequest)
		return
	}
	p := st.preamble
	state, err := p.state()
	if err != nil {
		s.log.Warn("a forwarded request is refused", "error", err)
		http.Error(w, "bad preamble", http.StatusBadRequest)
		return
	}
	s.served.Add(1)
	local, remote := address(p.Local), address(p.Remote)
	ctx := conninfo.With(r.Context(), "forward", local, remote)
	ctx = context.WithValue(ctx, hopsKey{}, p.Hops)
	if local != nil {
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, local)
	}
	r = r.WithContext(ctx)
	r.RemoteAddr, r.TLS = p.Remote, state
	if r.Header["Upgrade"] == nil {
		r.ProtoMajor, r.ProtoMinor, r.Proto = p.Major, p.Minor, protocol(p.Major, p.Minor)
	}
	// What closes here is the stream, not the client's connection.
	r.Close = false
	s.handler.ServeHTTP(w, r)
}

// protocol is a version of HTTP as net/http writes it.
func protocol(major, minor int) string {
	switch {
	case major == 1 && minor == 0:
		return "HTTP/1.0"
	case major == 1:
		return "HTTP/1.1"
	case major == 2:
		return "HTTP/2.0"
	}
	return "HTTP/3.0"
}

// listener makes streams of connections.
type listener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &stream{Conn: c, server: l.server}, nil
}

// stream is a connection whose preamble is read before the first byte is: by the
// goroutine that serves it, and under net/http's deadline for headers.
type stream struct {
	net.Conn
	server   *Server
	preamble *preamble
	err      error
	counted  bool // in server.open
	once     sync.Once
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	if s.preamble == nil {
		if s.err == nil {
			s.preamble, s.err = readPreamble(s.Conn)
			s.admit()
		}
		if s.err != nil {
			return 0, s.err
		}
	}
	return s.Conn.Read(p)
}

// refusal is the whole answer to a request that is refused: no HTTP.
const refusal = "sR\x01"

// ErrRefused is why a request fails that a node refuses because it is leaving.
var ErrRefused = errors.New("forward: the node takes no more requests")

// admit counts the request in, or refuses it.
func (s *stream) admit() {
	if s.err != nil {
		return
	}
	// In this order: Refuse looks at open after it has set refuse.
	s.server.open.Add(1)
	s.counted = true
	if s.server.refuse.Load() {
		s.preamble, s.err = nil, ErrRefused
		_ = s.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(s.Conn, refusal) // if it does not arrive, the request is not tried again
	}
}

// Close implements net.Conn.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() {
		if s.counted {
			s.server.open.Add(-1)
		}
	})
	return err
}
