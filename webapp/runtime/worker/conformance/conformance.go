// Package conformance is the suite that says whether a program speaks the worker
// protocol (docs/worker-protocol.md). It talks to the program frame by frame,
// without the rest of the server, so that it also sees what the server would
// forgive. A worker in any language can be run against it:
//
//	go test ./webapp/runtime/worker/conformance -worker "path/to/program args"
//
// The program must offer three servlets:
//
//	hello   answers 200 with a text that begins with "hello"
//	count   adds one to the session's number "n", making a session if there
//	        is none, and answers with the number in decimal
//	read    reads the request's body to its end and answers with its length in
//	        decimal
//
// and may offer a fourth, which is then tested too:
//
//	big     answers with as many bytes as the query says ("300000")
//
// Attributes are CBOR integers. Use Run in a test of your own, or Command to
// start a program for it.
package conformance

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// patience is how long the suite waits for anything.
const patience = 60 * time.Second

// Process is a worker that was started.
type Process struct {
	Conn io.ReadWriteCloser
	// Exited gives the error that the process ended with, nil for status 0.
	Exited <-chan error
}

// Command returns a function that starts the program with a Unix socket in its
// environment. Its output goes to the test's log.
func Command(args ...string) func(t *testing.T) *Process {
	return func(t *testing.T) *Process {
		t.Helper()
		dir, err := os.MkdirTemp("", "serval") // short: the path of a socket is limited
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		path := filepath.Join(dir, "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // one connection was accepted
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), servlet.WorkerEnv+"=unix:"+path)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		if err := l.(*net.UnixListener).SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("the worker did not connect: %v", err)
		}
		return &Process{Conn: c, Exited: exited}
	}
}

// Run runs the suite. start is called for each part of it.
func Run(t *testing.T, start func(t *testing.T) *Process) {
	for name, part := range map[string]func(*peer){
		"Greeting":      (*peer).greeting,
		"Requests":      (*peer).requests,
		"Sessions":      (*peer).sessions,
		"Bodies":        (*peer).bodies,
		"Windows":       (*peer).windows,
		"StaleFrames":   (*peer).staleFrames,
		"UnknownThings": (*peer).unknownThings,
		"Concurrency":   (*peer).concurrency,
		"End":           (*peer).end,
	} {
		t.Run(name, func(t *testing.T) {
			p := greet(t, start(t))
			part(p)
		})
	}
}

// peer is the server's side.
type peer struct {
	t        *testing.T
	p        *Process
	conn     *wire.Conn
	hello    wire.Hello
	segments map[string]uint32
	ran      sync.WaitGroup
}

// window is small, so that a worker which ignores it is found out.
const window = 64 << 10

func greet(t *testing.T, proc *Process) *peer {
	t.Helper()
	p := &peer{t: t, p: proc, segments: map[string]uint32{}}
	p.conn = wire.NewConn(proc.Conn, wire.Config{
		Server: true, Window: window,
		Accept:  func(s *wire.Stream, m wire.Msg) { m.Free(); s.Close() },
		Control: func(m wire.Msg) error { m.Free(); return nil },
	})
	h, m, err := p.conn.Read(1 << 20)
	if err != nil || h.Type != wire.TypeHello || h.Stream != 0 {
		t.Fatalf("the first frame is %s on stream %d, %v; want HELLO on 0", h.Type, h.Stream, err)
	}
	if err := p.hello.Decode(m.Payload); err != nil {
		t.Fatal(err)
	}
	if p.hello.Min > wire.Protocol || p.hello.Max < wire.Protocol {
		t.Fatalf("speaks versions %d to %d, want %d", p.hello.Min, p.hello.Max, wire.Protocol)
	}
	w := wire.Welcome{Version: wire.Protocol, Server: "conformance", Window: window, Path: "/app", SessionTimeout: 1_800_000, Servlets: []string{"hello", "count", "read"}}
	if err := p.conn.SendControl(wire.TypeWelcome, frame(&w)); err != nil {
		t.Fatal(err)
	}
	p.ran.Go(func() { _ = p.conn.Run() })
	t.Cleanup(func() {
		p.conn.Close(nil)
		p.ran.Wait()
	})
	p.init(&wire.Init{Op: wire.InitContext})
	for _, name := range []string{"hello", "count", "read", "big"} {
		if name == "big" && !p.offers("big") {
			continue
		}
		p.init(&wire.Init{Op: wire.InitServlet, Name: name, Class: name})
		n := uint32(len(p.segments) + 1)
		p.init(&wire.Init{Op: wire.InitSegment, Segment: n, Servlet: name})
		p.segments[name] = n
	}
	return p
}

type message interface{ Append([]byte) []byte }

func frame(m message) wire.Frame {
	f := wire.NewFrame()
	return f.Set(m.Append(f.Bytes()))
}

func (p *peer) offers(servlet string) bool {
	for _, c := range p.hello.Components {
		if c.Kind == wire.Servlet && c.Name == servlet {
			return true
		}
	}
	return false
}

func (p *peer) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.t.Cleanup(cancel)
	return ctx
}

// open opens a stream that the test's end closes.
func (p *peer) open(typ wire.Type, flags wire.Flags, m message) *wire.Stream {
	p.t.Helper()
	s, err := p.conn.Open(typ, flags, frame(m))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(s.Close)
	return s
}

// recv is the next frame of a stream.
func (p *peer) recv(s *wire.Stream) wire.Msg {
	p.t.Helper()
	m, err := s.Recv(p.context())
	if err != nil {
		p.t.Fatalf("waiting for a frame of stream %d: %v", s.ID(), err)
	}
	return m
}

func (p *peer) init(m *wire.Init) {
	p.t.Helper()
	s := p.open(wire.TypeInit, wire.FlagEnd, m)
	a := p.recv(s)
	var r wire.Response
	if err := r.Decode(a.Payload); err != nil || a.Type != wire.TypeEnd {
		p.t.Fatalf("INIT %d was answered with %s: %v", m.Op, a.Type, err)
	}
	if r.Failure != nil {
		p.t.Fatalf("INIT %d failed: %s", m.Op, r.Failure.Message)
	}
}

// invocation is a request for a servlet.
func (p *peer) invocation(name, query string) *wire.Invoke {
	m := &wire.Invoke{Segment: p.segments[name]}
	m.Request = wire.Request{
		Method: http.MethodGet, Major: 1, Minor: 1, Host: "localhost", RemoteAddr: "127.0.0.1:1", Path: "/app/" + name, Query: query,
		Header: http.Header{"Accept": {"*/*"}},
	}
	m.Request.URI = m.Request.Path
	if query != "" {
		m.Request.URI += "?" + query
	}
	m.Paths = wire.Paths{ServletPath: "/" + name, Match: 2, Pattern: "/" + name, Servlet: name}
	return m
}

// answer is a whole answer.
type answer struct {
	wire.Response
	body string
	done bool
}

// collect reads an answer to its end, granting credit and serving calls.
func (p *peer) collect(s *wire.Stream, session *wire.Session) answer {
	p.t.Helper()
	var a answer
	begun := false
	for !a.done {
		m := p.recv(s)
		switch m.Type {
		case wire.TypeCall:
			p.serve(s, m, session)
		case wire.TypeData:
			if !begun {
				p.t.Fatal("DATA before RESPONSE")
			}
			a.body += string(m.Payload)
			if err := s.Consumed(len(m.Payload)); err != nil {
				p.t.Fatal(err)
			}
		case wire.TypeResponse, wire.TypeEnd:
			var r wire.Response
			if err := r.Decode(append([]byte(nil), m.Payload...)); err != nil {
				p.t.Fatal(err)
			}
			if !begun {
				a.Response = r
			}
			if r.Changes != nil {
				a.Changes = r.Changes
			}
			if r.Failure != nil {
				a.Failure = r.Failure
			}
			a.body += string(r.Body)
			begun = true
		default:
			p.t.Fatalf("%s in an answer", m.Type)
		}
		a.done = m.End()
		m.Free()
	}
	return a
}

// serve answers a CALL as a server with one session would.
func (p *peer) serve(s *wire.Stream, m wire.Msg, session *wire.Session) {
	p.t.Helper()
	var c wire.Call
	if err := c.Decode(m.Payload); err != nil {
		p.t.Fatal(err)
	}
	r := wire.Reply{ID: c.ID}
	switch {
	case c.Op == wire.OpSession && session != nil:
		r.Flag, r.Session = true, session
	case c.Op == wire.OpSession && c.Flag:
		r.Flag = true
		r.Session = &wire.Session{ID: "made", New: true, Created: time.Now(), LastAccessed: time.Now(), MaxInactive: time.Hour}
	case c.Op == wire.OpLoad, c.Op == wire.OpCommit, c.Op == wire.OpSession, c.Op == wire.OpNames:
	default:
		r.Failure = &wire.Failure{Kind: wire.FailError, Message: "not in this suite"}
	}
	if err := s.Send(wire.TypeReply, 0, frame(&r)); err != nil {
		p.t.Fatal(err)
	}
}

// get is a request without a body.
func (p *peer) get(name, query string, session *wire.Session) answer {
	p.t.Helper()
	m := p.invocation(name, query)
	if session != nil {
		m.HasSession, m.Session = true, *session
	}
	return p.collect(p.open(wire.TypeInvoke, wire.FlagEnd, m), session)
}

func (p *peer) wantText(a answer, prefix string) {
	p.t.Helper()
	if a.Failure != nil {
		p.t.Fatalf("failed: %s", a.Failure.Message)
	}
	if a.Status != 0 && a.Status != 200 || !strings.HasPrefix(a.body, prefix) {
		p.t.Fatalf("status %d, %q; want 200, %q", a.Status, a.body, prefix)
	}
}

func number(n int) string { return strconv.Itoa(n) }
