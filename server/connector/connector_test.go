package connector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/conninfo"
	"github.com/serval-server/serval/webapp/servlet"
)

func report(w http.ResponseWriter, _ *http.Request, status int, message string, _ error) {
	http.Error(w, message, status)
}

// start serves a handler behind the Guard on a connector, with limits that tests of
// slow clients can wait for.
func start(t *testing.T, c config.Connector, change func(*config.Limits), h http.HandlerFunc) *Connector {
	t.Helper()
	dir := t.TempDir()
	limits := config.Default(dir).Limits
	if change != nil {
		change(&limits)
	}
	if c.Name == "" {
		c.Name, c.SocketMode = "test", "0600"
	}
	if c.Address == "" {
		c.Address = "localhost:0"
	}
	conn, err := New(Options{
		Config: c, Limits: limits, Path: func(s string) string { return filepath.Join(dir, s) },
		Handler: Guard(limits, report)(h), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return conn
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		if s, ok := errors.AsType[*servlet.StatusError](err); ok {
			status = s.Code
		}
		http.Error(w, err.Error(), status)
		return
	}
	c := conninfo.Of(r.Context())
	fmt.Fprintf(w, "%s %s tls=%v %s %v", r.Proto, body, r.TLS != nil, c.Connector, c.Local != "")
}

func fetch(t *testing.T, client *http.Client, method, url, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data), res.Header
}

func client(t *testing.T, tr *http.Transport) *http.Client {
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } // the server makes its own certificate

func TestProtocols(t *testing.T) {
	h1, h2, h2c := new(http.Protocols), new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2.SetHTTP2(true)
	h2c.SetUnencryptedHTTP2(true)
	plain := start(t, config.Connector{H2C: true}, nil, echo)
	var tc config.TLS
	tc.SetDefaults()
	tc.SelfSigned = true
	secure := start(t, config.Connector{TLS: &tc}, nil, echo)
	for _, tt := range []struct {
		name, want string
		conn       *Connector
		tr         *http.Transport
	}{
		{"h1", "HTTP/1.1 hello tls=false test true", plain, &http.Transport{Protocols: h1}},
		{"h2c", "HTTP/2.0 hello tls=false test true", plain, &http.Transport{Protocols: h2c}},
		{"h1 tls", "HTTP/1.1 hello tls=true test true", secure, &http.Transport{Protocols: h1, TLSClientConfig: insecure()}},
		{"h2", "HTTP/2.0 hello tls=true test true", secure, &http.Transport{Protocols: h2, TLSClientConfig: insecure()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body, header := fetch(t, client(t, tt.tr), "POST", tt.conn.URL()+"/", "hello")
			if status != 200 || body != tt.want {
				t.Errorf("%d %q, want %q", status, body, tt.want)
			}
			port := secure.Addr().(*net.TCPAddr).Port
			if alt := header.Get("Alt-Svc"); (tt.conn == secure) != (alt == fmt.Sprintf(`h3=":%d"; ma=86400`, port)) {
				t.Errorf("Alt-Svc %q", alt)
			}
		})
	}
	t.Run("h3", func(t *testing.T) {
		tr := &http3.Transport{TLSClientConfig: insecure()}
		defer func() { _ = tr.Close() }()
		status, body, _ := fetch(t, &http.Client{Transport: tr}, "POST", secure.URL()+"/", "hello")
		if status != 200 || body != "HTTP/3.0 hello tls=true test true" {
			t.Errorf("%d %q", status, body)
		}
	})
	if p := strings.Join(secure.Protocols(), " "); p != "HTTP/1.1 HTTP/2 HTTP/3" {
		t.Errorf("protocols %s", p)
	}
}

func TestUnixSocketAndProxyOfHTTPS(t *testing.T) {
	long := strings.Repeat("d", 120)
	conn := start(t, config.Connector{Address: config.Address("unix:" + long + "/s.sock"), Secure: true, SocketMode: "0600", Name: "test"}, nil, echo)
	path := conn.opt.Path(long + "/s.sock")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return DialUnix(path) }}
	if _, body, _ := fetch(t, client(t, tr), "GET", "http://h/", ""); !strings.Contains(body, "tls=true") {
		t.Errorf("body %q", body)
	}
	if _, err := ListenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Errorf("second listener: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "stale"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	stale := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := ListenUnix(stale, 0o600)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTakenPort(t *testing.T) {
	one := start(t, config.Connector{}, nil, echo)
	c, err := New(Options{Config: config.Connector{Name: "two", Address: config.Address(one.Addr().String())}, Limits: one.opt.Limits, Path: one.opt.Path, Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Listen()
	if err == nil || !strings.HasPrefix(err.Error(), "connector two: "+one.Addr().String()+" is taken by another program") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func writeCert(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	cert, err := (&certStore{}).selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestReloadCertificates(t *testing.T) {
	dir := t.TempDir()
	first := writeCert(t, dir)
	var tc config.TLS
	tc.SetDefaults()
	tc.HTTP3 = false
	tc.Certificates = []config.Certificate{{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
	limits := config.Default(dir).Limits
	c, err := New(Options{Config: config.Connector{Name: "tls", Address: "localhost:0", TLS: &tc}, Limits: limits, Path: func(s string) string { return s }, Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Listen(), c.Serve()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	served := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", c.Addr().String(), insecure())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0]
	}
	if !served().Equal(first) {
		t.Error("another certificate than the one in the file")
	}
	second := writeCert(t, dir)
	if err := c.Reload(); err != nil || !served().Equal(second) {
		t.Errorf("the new certificate is not served: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil || !served().Equal(second) {
		t.Errorf("a broken file: %v", err)
	}
}

func TestLimits(t *testing.T) {
	c := start(t, config.Connector{}, func(l *config.Limits) {
		l.MaxBodySize, l.MaxFormSize, l.MaxParameters, l.MaxHeaderCount = 100, 50, 3, 20
	}, echo)
	cl := client(t, &http.Transport{})
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=utf-8"}}
	many := http.Header{}
	for i := range 20 {
		many.Set(fmt.Sprintf("X-%d", i), "1")
	}
	for _, tt := range []struct {
		name   string
		query  string
		body   io.Reader
		header http.Header
		want   int
	}{
		{"small", "", strings.NewReader("abc"), nil, 200},
		{"at the limit", "", strings.NewReader(strings.Repeat("x", 100)), nil, 200},
		{"declared too large", "", strings.NewReader(strings.Repeat("x", 101)), nil, 413},
		{"streamed at the limit", "", io.MultiReader(strings.NewReader(strings.Repeat("x", 100))), nil, 200},
		{"streamed too large", "", io.MultiReader(strings.NewReader(strings.Repeat("x", 101))), nil, 413},
		{"form", "", strings.NewReader("a=1&b=2"), form, 200},
		{"form too large", "", strings.NewReader(strings.Repeat("x", 51)), form, 413},
		{"form of too many", "", strings.NewReader("a&b&c&d"), form, 400},
		{"query", "?a&b&c", nil, nil, 200},
		{"query of too many", "?a&b&c&d", nil, nil, 400},
		{"headers", "", nil, many, 431},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL()+"/"+tt.query, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != nil {
				req.Header = tt.header
			}
			res, err := cl.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != tt.want {
				body, _ := io.ReadAll(res.Body)
				t.Errorf("%d %s, want %d", res.StatusCode, body, tt.want)
			}
		})
	}
}

// TestSlowClients: a client that trickles a header, one that stops in its body
// whether the handler reads it or not, and one that takes nothing of a large answer
// are cut off, and the server goes on serving others meanwhile.
func TestSlowClients(t *testing.T) {
	const brief = 100 * time.Millisecond
	ended := make(chan error, 1)
	c := start(t, config.Connector{}, func(l *config.Limits) {
		l.HeaderTimeout, l.BodyTimeout, l.WriteTimeout, l.IdleTimeout = config.Duration(brief), config.Duration(brief), config.Duration(brief), config.Duration(brief)
	}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			buf := make([]byte, 1<<20)
			for {
				if _, err := w.Write(buf); err != nil {
					ended <- err
					return
				}
			}
		case "/read":
			_, err := io.ReadAll(r.Body)
			ended <- err
		case "/unread":
		}
	})
	closes := func(t *testing.T, send string, trickle string) {
		conn, err := net.Dial("tcp", c.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, send); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		defer close(stop)
		if trickle != "" {
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(brief / 10):
						_, _ = io.WriteString(conn, trickle) // fails when the server has closed
					}
				}
			}()
		}
		_, _ = io.Copy(io.Discard, conn) // returns when the server closes, by FIN or RST
	}
	t.Run("connects and says nothing", func(t *testing.T) { closes(t, "", "") })
	t.Run("trickles a header", func(t *testing.T) { closes(t, "GET / HTTP/1.1\r\n", "X: y\r\n") })
	t.Run("idles", func(t *testing.T) { closes(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "") })
	t.Run("stops in a body that is read", func(t *testing.T) {
		closes(t, "POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", "")
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the handler read %v", err)
		}
	})
	t.Run("stops in a body that is not read", func(t *testing.T) {
		closes(t, "POST /unread HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", "")
	})
	t.Run("takes nothing", func(t *testing.T) {
		conn, err := net.Dial("tcp", c.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("no error")
		}
	})
}

func TestSlowBodyThatGoesOnIsServed(t *testing.T) {
	c := start(t, config.Connector{}, func(l *config.Limits) { l.BodyTimeout = config.Duration(2 * time.Second) }, echo)
	pr, pw := io.Pipe()
	go func() {
		for range 5 {
			_, _ = io.WriteString(pw, "x")
			time.Sleep(10 * time.Millisecond) // the pace of the client, nothing waits for it
		}
		_ = pw.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL()+"/", pr)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t, &http.Transport{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), "xxxxx") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestMaxConnections(t *testing.T) {
	entered, release := make(chan struct{}, 2), make(chan struct{})
	c := start(t, config.Connector{}, func(l *config.Limits) { l.MaxConnections = 1 }, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})
	done := make(chan string, 2)
	for range 2 {
		go func() { done <- raw(t, c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") }()
	}
	<-entered
	select {
	case <-entered:
		t.Error("two connections at a time")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	for range 2 {
		if got := <-done; !strings.HasPrefix(got, "200") {
			t.Errorf("got %s", got)
		}
	}
}

func TestShutdownDrains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	c := start(t, config.Connector{}, nil, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "late")
	})
	got := make(chan string, 1)
	go func() { got <- raw(t, c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") }()
	<-entered
	shut := make(chan error, 1)
	go func() { shut <- c.Shutdown(context.Background()) }()
	for { // until the port is closed
		conn, err := net.Dial("tcp", c.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(release)
	if s := <-got; !strings.HasPrefix(s, "200") {
		t.Errorf("the open request got %s", s)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
}

func TestSendfileIsKept(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, config.Connector{}, nil, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("the writer takes no files")
		}
		http.ServeFile(w, r, name)
	})
	if _, body, _ := fetch(t, client(t, &http.Transport{}), "GET", c.URL()+"/", ""); len(body) != 3<<20 {
		t.Errorf("%d bytes", len(body))
	}
}
