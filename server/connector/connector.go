package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/conninfo"
	"github.com/serval-server/serval/server/h3"
)

// Options configure a Connector.
type Options struct {
	Config config.Connector
	Limits config.Limits
	// Path resolves a file name of the configuration against the home.
	Path    func(name string) string
	Handler http.Handler
	Logger  *slog.Logger
}

// Connector is one address that the server listens on.
type Connector struct {
	opt  Options
	tls  *certStore // nil without TLS
	http *http.Server
	h3   *h3.Server // nil without HTTP/3

	listener *listener
	packets  net.PacketConn
	wait     sync.WaitGroup
}

// headerSlop is what net/http allows beyond MaxHeaderBytes.
const headerSlop = 4096

// New makes a connector and loads its certificates, but opens no socket.
func New(o Options) (*Connector, error) {
	c := &Connector{opt: o}
	handler := o.Handler
	if o.Config.Secure && o.Config.TLS == nil {
		handler = secured(handler)
	}
	if t := o.Config.TLS; t != nil {
		store, err := newCertStore(t, o.Path)
		if err != nil {
			return nil, fmt.Errorf("connector %s: %w", o.Config.Name, err)
		}
		c.tls = store
		if _, unix := o.Config.Address.Unix(); t.HTTP3 && !unix {
			handler = c.altSvc(handler)
		}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(c.tls == nil && o.Config.H2C)
	protocols.SetHTTP2(c.tls != nil && o.Config.TLS.HTTP2)
	c.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: o.Limits.HeaderTimeout.D(),
		IdleTimeout:       o.Limits.IdleTimeout.D(),
		MaxHeaderBytes:    max(int(o.Limits.MaxHeaderSize)-headerSlop, 1),
		Protocols:         protocols,
		// "OPTIONS *" passes the pipeline too, so that it is logged.
		DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: o.Limits.MaxStreams,
			WriteByteTimeout:     o.Limits.WriteTimeout.D(),
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return conninfo.With(withPlain(ctx, conn), o.Config.Name, conn.LocalAddr(), conn.RemoteAddr())
		},
		ConnState: connState,
		ErrorLog:  slog.NewLogLogger(errorLog{o.Logger.Handler()}, slog.LevelWarn),
	}
	if c.tls != nil {
		c.http.TLSConfig = c.tls.config()
	}
	return c, nil
}

// Name is the connector's name in the configuration.
func (c *Connector) Name() string { return c.opt.Config.Name }

// Listen opens the sockets. An error says which address could not be taken.
func (c *Connector) Listen() error {
	l, err := listen(c.opt.Config, c.opt.Path)
	if err != nil {
		return fmt.Errorf("connector %s: %w", c.Name(), err)
	}
	own := newListener(l, c.opt.Limits.MaxConnections, c.opt.Limits.WriteTimeout.D())
	if c.tls == nil {
		own.headLimit = int64(c.http.MaxHeaderBytes) + headerSlop
	}
	c.listener = own
	if c.tls == nil || !c.opt.Config.TLS.HTTP3 {
		return nil
	}
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil // a Unix socket
	}
	host, _, _ := net.SplitHostPort(string(c.opt.Config.Address))
	c.packets, err = net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(tcp.Port)))
	if err != nil {
		return errors.Join(fmt.Errorf("connector %s: http/3: %w", c.Name(), plainError(err)), c.listener.Close())
	}
	c.h3 = h3.New(h3.Options{
		TLS: c.tls.config(), Handler: c.opt.Handler, MaxHeaderBytes: int(c.opt.Limits.MaxHeaderSize),
		MaxStreams: c.opt.Limits.MaxStreams, MaxConnections: c.opt.Limits.MaxConnections, IdleTimeout: c.opt.Limits.IdleTimeout.D(),
		ConnContext: func(ctx context.Context, local, peer net.Addr) context.Context {
			return conninfo.With(ctx, c.Name(), local, peer)
		},
		Logger: c.opt.Logger,
	})
	return nil
}

// Serve starts to accept connections. It returns at once.
func (c *Connector) Serve() error {
	if c.h3 != nil {
		if err := c.h3.Serve(c.packets); err != nil {
			return fmt.Errorf("connector %s: %w", c.Name(), err)
		}
	}
	c.wait.Go(func() {
		serve := c.http.Serve
		if c.tls != nil {
			serve = func(l net.Listener) error { return c.http.ServeTLS(l, "", "") }
		}
		if err := serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			c.opt.Logger.Error("connector ended", "connector", c.Name(), "error", err)
		}
	})
	return nil
}

// Shutdown stops accepting, waits for open requests until the context ends, and then
// closes what is left. The error is the context's if it had to.
func (c *Connector) Shutdown(ctx context.Context) error {
	var quicErr error
	var quic sync.WaitGroup
	if c.h3 != nil {
		quic.Go(func() { quicErr = c.h3.Shutdown(ctx) })
	}
	err := c.http.Shutdown(ctx)
	quic.Wait()
	return errors.Join(err, quicErr, c.Close())
}

// Close ends all connections at once. It is also the way to give up what Listen has
// opened.
func (c *Connector) Close() error {
	err := c.http.Close()
	if c.h3 != nil {
		err = errors.Join(err, c.h3.Close())
	}
	if c.packets != nil {
		_ = c.packets.Close() // closed already if it was served
	}
	if c.listener != nil {
		_ = c.listener.Close() // closed already if it was served
		c.listener.finish()
		c.listener.sweeper.Wait()
	}
	c.wait.Wait()
	return err
}

// Reload reads the certificates again. On an error the old ones stay.
func (c *Connector) Reload() error {
	if c.tls == nil {
		return nil
	}
	if err := c.tls.load(); err != nil {
		return fmt.Errorf("connector %s: %w", c.Name(), err)
	}
	return nil
}

// Addr is the address that Listen has opened.
func (c *Connector) Addr() net.Addr { return c.listener.Addr() }

// URL is where a person on this machine finds the connector: with the host's name
// if it listens on all interfaces, as "unix:PATH" if it is a Unix socket.
func (c *Connector) URL() string {
	if path, unix := c.opt.Config.Address.Unix(); unix {
		return "unix:" + path
	}
	scheme, port := "http", "80"
	if c.tls != nil {
		scheme, port = "https", "443"
	}
	host, _, _ := net.SplitHostPort(string(c.opt.Config.Address))
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback() && ip.To4() != nil) {
		host = "localhost"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if _, p, err := net.SplitHostPort(c.listener.Addr().String()); err == nil && p != port {
		host += ":" + p
	}
	return scheme + "://" + host
}

// Protocols names what is spoken, for the log.
func (c *Connector) Protocols() []string {
	p := []string{"HTTP/1.1"}
	if c.tls == nil && c.opt.Config.H2C || c.tls != nil && c.opt.Config.TLS.HTTP2 {
		p = append(p, "HTTP/2")
	}
	if c.h3 != nil {
		p = append(p, "HTTP/3")
	}
	return p
}

// altSvc announces HTTP/3 in answers over TCP (RFC 7838 §3).
func (c *Connector) altSvc(next http.Handler) http.Handler {
	value := sync.OnceValue(func() []string {
		addr, ok := c.listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil
		}
		return []string{h3.AltSvc(addr.Port)}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Alt-Svc"] = value()
		next.ServeHTTP(w, r)
	})
}

// secured marks requests as secure that came through a proxy which speaks HTTPS to
// the client: Request.TLS is not nil, and holds no details.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: r.Host}
		next.ServeHTTP(w, r)
	})
}

// errorLog passes what net/http has to say on to the log. Handshakes and requests
// that clients break off are no news.
type errorLog struct{ slog.Handler }

// Handle implements slog.Handler.
func (l errorLog) Handle(ctx context.Context, r slog.Record) error {
	for _, noise := range []string{"TLS handshake error", "superfluous", "URL query contains semicolon"} {
		if strings.Contains(r.Message, noise) {
			r.Level = slog.LevelDebug
		}
	}
	if !l.Enabled(ctx, r.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}
