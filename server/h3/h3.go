// Package h3 serves HTTP/3: it is the one place that knows the QUIC library, whose
// interface still changes from version to version.
//
// A Server serves one UDP socket with the handler that serves the connector's
// HTTP/1.1 and HTTP/2 as well. QUIC's own address validation, flow control and
// encryption are the library's; limits on connections, streams, header sizes and
// idle time are those of the connector.
//
// Clients find out by an Alt-Svc header (RFC 7838) in answers over TCP, which AltSvc
// returns.
package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Options configure a Server.
type Options struct {
	// TLS is the connector's configuration; the protocol names are set here.
	TLS     *tls.Config
	Handler http.Handler
	// MaxHeaderBytes bounds a request's header; 0 is the library's default.
	MaxHeaderBytes int
	// MaxStreams bounds open requests per connection, MaxConnections open
	// connections; 0 for no limit of ours.
	MaxStreams, MaxConnections int
	// IdleTimeout ends a connection without requests; 0 for the library's default.
	IdleTimeout time.Duration
	// ConnContext makes the context of a connection from the addresses of its ends.
	ConnContext func(ctx context.Context, local, peer net.Addr) context.Context
	Logger      *slog.Logger
}

// Server is an HTTP/3 server. Make one with New.
type Server struct {
	http  *http3.Server
	quic  *quic.Config
	max   int64
	conns atomic.Int64
	wait  sync.WaitGroup

	mu       sync.Mutex
	listener *quic.Listener // guarded by mu
}

// New makes a server that does not listen yet.
func New(o Options) *Server {
	s := &Server{max: int64(o.MaxConnections)}
	s.quic = &quic.Config{MaxIdleTimeout: o.IdleTimeout, MaxIncomingStreams: int64(o.MaxStreams)}
	s.http = &http3.Server{
		TLSConfig: o.TLS, Handler: o.Handler, MaxHeaderBytes: o.MaxHeaderBytes, IdleTimeout: o.IdleTimeout, Logger: o.Logger,
		QUICConfig: s.quic,
	}
	if o.ConnContext != nil {
		s.http.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context {
			return o.ConnContext(ctx, c.LocalAddr(), c.RemoteAddr())
		}
	}
	return s
}

// Serve starts to serve the socket, which it closes at the end.
func (s *Server) Serve(conn net.PacketConn) error {
	transport := &quic.Transport{Conn: conn}
	l, err := transport.Listen(http3.ConfigureTLSConfig(s.http.TLSConfig), s.quic)
	if err != nil {
		return errors.Join(fmt.Errorf("quic: %w", err), conn.Close())
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.wait.Go(func() {
		if err := s.http.ServeListener(&listener{Listener: l, server: s}); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, quic.ErrServerClosed) {
			s.http.Logger.Error("http/3 connector ended", "error", err)
		}
		// The transport outlives its listener for as long as connections do.
		_ = transport.Close()
		_ = conn.Close()
	})
	return nil
}

// Shutdown stops accepting, waits for open requests until the context ends, and
// closes.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	return errors.Join(err, s.Close())
}

// Close ends all connections at once.
func (s *Server) Close() error {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	var err error
	if l != nil {
		err = l.Close()
	}
	err = errors.Join(err, s.http.Close())
	s.wait.Wait()
	return err
}

// AltSvc is the value of the Alt-Svc header for a port: HTTP/3 there, for a day.
func AltSvc(port int) string { return fmt.Sprintf(`h3=":%d"; ma=86400`, port) }

// listener counts connections, and refuses those that are too many.
type listener struct {
	*quic.Listener
	server *Server
}

// excessiveLoad is H3_EXCESSIVE_LOAD (RFC 9114 §8.1).
const excessiveLoad = 0x107

// Accept implements http3.QUICListener.
func (l *listener) Accept(ctx context.Context) (*quic.Conn, error) {
	for {
		c, err := l.Listener.Accept(ctx)
		if err != nil {
			return nil, err
		}
		if n := l.server.conns.Add(1); l.server.max > 0 && n > l.server.max {
			l.server.conns.Add(-1)
			_ = c.CloseWithError(excessiveLoad, "too many connections") // it is being refused anyway
			continue
		}
		context.AfterFunc(c.Context(), func() { l.server.conns.Add(-1) })
		return c, nil
	}
}
