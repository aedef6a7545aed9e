package connector

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/serval-server/serval/server/config"
)

// A client that goes while its request is answered ends the request's context,
// whether net/http would have seen it or the sweeper has to.
func TestClientGone(t *testing.T) {
	ended := make(chan struct{})
	c := start(t, config.Connector{}, nil, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	})
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// A client that stays is not taken for gone, whatever it has sent meanwhile.
func TestClientStays(t *testing.T) {
	began, answer := make(chan struct{}), make(chan struct{})
	c := start(t, config.Connector{}, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-answer
		}
		fmt.Fprint(w, r.URL.Path, r.Context().Err())
	})
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const head = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	if _, err := io.WriteString(conn, "GET /slow"+head+"GET /next"+head); err != nil {
		t.Fatal(err)
	}
	<-began
	c.listener.mu.Lock()
	for p := range c.listener.conns {
		p.presence.since.Store(1)
		p.presence.sweep(int64(3*sweep), p.Conn) // as if it had waited for long
	}
	c.listener.mu.Unlock()
	close(answer)
	r := bufio.NewReader(conn)
	for _, want := range []string{"/slow<nil>", "/next<nil>"} {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != want {
			t.Errorf("%q, %v, want %q", body, err, want)
		}
	}
}

// A buffer with room for one byte reads it.
func TestReadOfOneByte(t *testing.T) {
	c := start(t, config.Connector{}, nil, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.Header.Get("Long")))
	})
	for _, first := range []int{4094, 4095, 4096, 4097} {
		conn, err := net.Dial("tcp", c.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		head := "GET / HTTP/1.1\r\nHost: localhost\r\nLong: "
		request := head + strings.Repeat("x", 6000) + "\r\n\r\n"
		for _, part := range []string{request[:first], request[first:]} {
			if _, err := io.WriteString(conn, part); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(first, err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "6000" {
			t.Errorf("%d: %q, %v", first, body, err)
		}
		conn.Close()
	}
}

func TestPresence(t *testing.T) {
	var p presence
	if p.background(1) {
		t.Error("nobody watches the connection, and a read was left out")
	}
	p.watch(t.Context(), new(atomic.Int64))
	for i, step := range []struct {
		n    int
		want bool
	}{{4096, false}, {1, true}, {1, false}, {1, true}, {4096, false}, {1, true}, {2, false}} {
		if got := p.background(step.n); got != step.want {
			t.Errorf("read %d, of %d bytes: %v", i, step.n, got)
		}
		if since := p.since.Load(); since != 0 != step.want {
			t.Errorf("read %d, of %d bytes: since %d", i, step.n, since)
		}
	}
	p.hijacked.Store(true)
	if p.background(1) {
		t.Error("a read of the application's was left out")
	}
}
