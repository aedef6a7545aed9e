package wire

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"
)

type message interface {
	Append([]byte) []byte
	Decode([]byte) error
}

// samples are messages with every part filled in, and with none.
func samples() []message {
	session := Session{
		ID: "abc.n1", New: true, Created: time.UnixMilli(1700000000000), LastAccessed: time.UnixMilli(1700000001000),
		MaxInactive: 30 * time.Minute,
		Attrs: []Attr{
			{Name: "a", Version: Version{1, 2, 3}, Value: []byte{1}},
			{Name: "b", Version: Version{1, 2, 1 << 60}, Mode: InlineKeep, Token: 7, Value: []byte("xx")},
			{Name: "c", Mode: Held, Token: 300}, {Name: "d", Mode: OnDemand},
		},
	}
	changes := &Changes{
		Attrs:          []Change{{Name: "n", Value: []byte{5}}, {Name: "gone", Remove: true}, {Name: "big", Token: 2, Value: []byte("zz")}},
		Read:           []string{"n", "m"},
		HasMaxInactive: true, MaxInactive: -time.Second,
	}
	failure := &Failure{Kind: FailUnavailable, Message: "later", Types: []string{"shop.Closed", "error"}, Status: 503, RetryAfter: 5 * time.Second, Permanent: true}
	invoke := &Invoke{
		Segment: 3, Scope: 9, Dispatcher: 1, Deadline: 20 * time.Second, HasSession: true, Session: session,
		Request: Request{
			Method: "POST", Major: 1, Minor: 1, Host: "h:80", RemoteAddr: "10.0.0.1:5", URI: "/a%20b?x=1", Path: "/a b", Query: "x=1",
			ContentLength: 5, Header: http.Header{"Accept": {"a", "b"}, "Cookie": {"c=d"}}, Trailers: []string{"Sum"},
			TLS: &TLS{Version: 0x304, Cipher: 0x1301, ServerName: "h", Protocol: "h2", Certificates: [][]byte{{1, 2}}},
		},
		Paths:      Paths{RequestURI: "/x", Query: "q", ServletPath: "/a", PathInfo: "/b", Match: 3, Value: "b", Pattern: "/a/*", Servlet: "s"},
		Attributes: []Named{{"k", []byte{0xf6}}}, Extra: []Named{{"later", []byte("v")}}, Header: http.Header{"X-A": {"b"}}, Body: []byte("hello"),
	}
	return []message{
		&Hello{}, &Hello{Min: 1, Max: 2, Program: "go 1.26", Capabilities: 3, Concurrency: 4, Components: []Component{{Listener, "l", 5}}},
		&Welcome{}, &Welcome{Version: 1, Server: "s", Window: 1 << 18, Path: "/shop", AppVersion: "2", Name: "Shop", Params: map[string]string{"a": "b", "c": "d"},
			Dir: "/d", TempDir: "/t", MIME: map[string]string{"css": "text/css"}, SessionTimeout: 1800000, Servlets: []string{"s"}, Rules: RuleSetOnly | RuleReplicated},
		&Log{Level: -4, Nanos: 5, Message: "m", Attrs: []string{"k", "v"}},
		&Init{Op: InitContext, Listeners: []string{"a"}, Policy: "p"}, &Init{Op: InitDestroy},
		&Init{Op: InitServlet, Name: "n", Class: "c", Params: map[string]string{"x": "y"}, Multipart: &Multipart{"/tmp", 1, -1, 3}},
		&Init{Op: InitSegment, Segment: 1, Filters: []string{"f"}, Servlet: "s"},
		invoke, &Invoke{Request: Request{Path: "/", URI: "/", Header: http.Header{}}, Body: []byte{}},
		&Event{Kind: 1, Cause: 3, Local: true, Status: 5, OldID: "o", Deadline: time.Second, HasSession: true, Session: session},
		&Event{Kind: 5, Request: invoke},
		&Dispatch{Kind: DispatchForward, Parent: 3, Path: "/p", Query: "q", Name: "n", HasApp: true, App: "/o", Direct: true, Body: BodyData, Status: 200,
			Header: http.Header{"A": {"b"}}, HasRequest: true, Method: "GET", ReqPath: "/x", ReqRawPath: "/%78", ReqQuery: "y", ContentLength: -1,
			RequestHeader: http.Header{"C": {"d"}}, Changes: changes, Attributes: []Named{{"a", []byte{1}}}, Removed: []string{"r"}},
		&Response{Header: http.Header{}, Body: []byte{}},
		&Response{Status: 404, Header: http.Header{"X": {"1", "2"}}, Changes: changes, Failure: failure, Attributes: []Named{{"a", []byte{1}}},
			Trailer: http.Header{"T": {"v"}}, Body: []byte("body")},
		&Call{ID: 1, Op: OpSession, Flag: true}, &Call{ID: 2, Op: OpLoad, Name: "n"}, &Call{ID: 300, Op: OpCommit, Flag: true, Changes: changes},
		&Call{ID: 4, Op: OpSwap, Name: "n", Version: Version{1, 2, 3}, Value: []byte{9}}, &Call{ID: 5, Op: OpInvalidate},
		&Call{ID: 6, Op: OpUpgrade, Status: 101, Header: http.Header{"Upgrade": {"websocket"}}},
		&Reply{ID: 1, Failure: failure}, &Reply{ID: 2, Flag: true, Exists: true, Version: Version{1, 1, 1}, Token: 9, Value: []byte{1}},
		&Reply{ID: 3, Text: "t", Names: []string{"a"}, Session: &session, Flag: true},
	}
}

// fresh is a new message of the same type.
func fresh(m message) message {
	return reflect.New(reflect.TypeOf(m).Elem()).Interface().(message)
}

func TestMessagesSurviveTheWire(t *testing.T) {
	for _, m := range samples() {
		b := m.Append(nil)
		got := fresh(m)
		if err := got.Decode(b); err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%T:\n got %+v\nwant %+v", m, got, m)
		}
	}
}

func TestCutMessagesAreRefused(t *testing.T) {
	for _, m := range samples() {
		switch m.(type) {
		case *Invoke, *Response, *Event:
			continue // end in a body, which can be shorter
		}
		b := m.Append(nil)
		whole := len(b)
		if _, ok := m.(*Welcome); ok {
			whole-- // one of an earlier version has no Rules
		}
		for n := range whole {
			if err := fresh(m).Decode(b[:n]); err == nil || !errors.Is(err, ErrMalformed) {
				t.Errorf("%T cut to %d of %d bytes: %v", m, n, len(b), err)
			}
		}
	}
}

// FuzzMessages: what decodes is encoded again to something that decodes to the
// same; nothing panics, and nothing is allocated beyond the input's size.
func FuzzMessages(f *testing.F) {
	all := samples()
	for i, m := range all {
		f.Add(uint8(i), m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		m := fresh(all[int(which)%len(all)])
		if m.Decode(data) != nil {
			return
		}
		b := m.Append(nil)
		again := fresh(m)
		if err := again.Decode(b); err != nil {
			t.Fatalf("%T: %v after a second encoding of %+v", m, err, m)
		}
		if c := again.Append(nil); len(c) != len(b) {
			t.Fatalf("%T: %d bytes, then %d", m, len(b), len(c))
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(AppendFrame(AppendFrame(nil, TypePing, 0, 0, []byte("x")), TypeData, FlagEnd, 7, []byte("body")))
	f.Add([]byte{255, 255, 255, 255, 1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out []byte
		rest := data
		for {
			h, p, n, err := ParseFrame(rest)
			if err != nil || n == 0 {
				break
			}
			out = AppendFrame(out, h.Type, h.Flags, h.Stream, p)
			rest = rest[n:]
		}
		if !bytes.Equal(out, data[:len(out)]) {
			t.Fatal("frames differ after a second encoding")
		}
	})
}

// The bytes of version 1, which must not change: workers in other languages
// have been written to them.
func TestGoldenBytes(t *testing.T) {
	got := AppendFrame(nil, TypeInit, FlagEnd, 258, (&Init{Op: InitSegment, Segment: 300, Filters: []string{"f"}, Servlet: "s"}).Append(nil))
	want := []byte{0, 0, 0, 8, 17, 1, 0, 0, 1, 2, 4, 0xac, 2, 1, 1, 'f', 1, 's'}
	want[3] = byte(len(want) - HeaderLen)
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	r := Response{Status: 200, Header: http.Header{"A": {"b"}}, Changes: &Changes{Attrs: []Change{{Name: "n", Value: []byte{7}}}}, Body: []byte("hi")}
	if got, want := r.Append(nil), []byte("\x01\xc8\x01\x01\x01A\x01b\x01\x01n\x00\x01\x07\x00\x00hi"); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
