package servlet

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// canned is a server of which only its frames are there: the same is read again
// and again, what is written goes nowhere.
type canned struct {
	frame []byte
	sent  int // bytes
}

func (c *canned) readFrame(p []byte) (int, error) { return copy(p, c.frame), nil }

func (c *canned) Read([]byte) (int, error) { return 0, io.EOF }

func (c *canned) Write(p []byte) (int, error) { c.sent += len(p); return len(p), nil }
func (c *canned) Close() error                { return nil }

// BenchmarkWorkerRequest is what a request costs a worker, without the way there
// and back. It is also what a WebAssembly guest does for one:
//
//	GOOS=wasip1 GOARCH=wasm go test -exec 'wazero run' -bench WorkerRequest ./webapp/servlet
func BenchmarkWorkerRequest(b *testing.B) {
	text := func(w http.ResponseWriter, s string) {
		w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
		_, _ = w.Write([]byte(s))
	}
	b.Run("hello", func(b *testing.B) {
		benchmarkRequest(b, false, func(w http.ResponseWriter, _ *http.Request) { text(w, "hello\n") })
	})
	b.Run("count", func(b *testing.B) {
		benchmarkRequest(b, true, func(w http.ResponseWriter, r *http.Request) {
			s := SessionOf(r)
			n, err := Get[int](s, "n")
			if err != nil {
				panic(err)
			}
			if err := Set(s, "n", n+1); err != nil {
				panic(err)
			}
			text(w, "n=\n")
		})
	})
}

func benchmarkRequest(b *testing.B, session bool, h http.HandlerFunc) {
	rw := &canned{}
	w := newWorker(App{Servlets: map[string]http.Handler{"count": h}})
	w.inline = true
	w.conn = wire.NewConn(rw, wire.Config{Accept: w.accept, Control: w.control, Pump: true, ReadFrame: rw.readFrame})
	step := func(t wire.Type, stream uint32, payload []byte) {
		rw.frame = wire.AppendFrame(nil, t, wire.FlagEnd, stream, payload)
		if err := w.conn.Step(); err != nil {
			b.Fatal(err)
		}
	}
	step(wire.TypeWelcome, 0, (&wire.Welcome{Version: wire.Protocol, Path: "/bench"}).Append(nil))
	for _, m := range []wire.Init{
		{Op: wire.InitContext}, {Op: wire.InitServlet, Name: "count", Class: "count"}, {Op: wire.InitSegment, Segment: 1, Servlet: "count"},
	} {
		step(wire.TypeInit, 1, m.Append(nil))
	}
	m := wire.Invoke{
		Segment: 1,
		Request: wire.Request{
			Method: "GET", Major: 1, Minor: 1, Host: "localhost:8080", RemoteAddr: "127.0.0.1:45678", URI: "/count", Path: "/count",
			Header: http.Header{"User-Agent": {"Go-http-client/1.1"}, "Cookie": {"JSESSIONID=0123456789ABCDEF0123456789ABCDEF"}},
		},
		Paths: wire.Paths{RequestURI: "/bench/count", ServletPath: "/count", Match: 3, Value: "count", Pattern: "/count", Servlet: "count"},
	}
	if session {
		m.HasSession = true
		m.Session = wire.Session{
			ID: "0123456789ABCDEF0123456789ABCDEF", Created: time.UnixMilli(1e12), LastAccessed: time.UnixMilli(1e12), MaxInactive: time.Hour,
			Attrs: []wire.Attr{{Name: "n", Version: wire.Version{Epoch: 1, Node: 1, Clock: 1 << 50}, Value: []byte{0x18, 42}}},
		}
	}
	rw.frame = wire.AppendFrame(nil, wire.TypeInvoke, wire.FlagEnd, 1, m.Append(nil))
	b.ReportAllocs()
	for rw.sent = 0; b.Loop(); {
		if err := w.conn.Step(); err != nil {
			b.Fatal(err)
		}
	}
	if rw.sent < b.N*wire.HeaderLen {
		b.Fatalf("%d bytes were answered to %d requests", rw.sent, b.N)
	}
}
