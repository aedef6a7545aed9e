// Package bench is the benchmark application: the work that is measured when
// Serval is held against other servers of sessions. It answers the same URLs
// with the same parameters and the same texts as the Java application that
// measures Tomcat, so that one load generator drives and checks both.
//
//	/hello                     "hello\n", no session
//	/count[?pad=P][&attrs=A]   n = n+1; a new session first gets an attribute
//	                           "pad" of P characters; A more attributes
//	                           a0…a(A-1) are set to n each time
//	/cart[?size=S][&touch=K]   attribute "cart" of S/256 items of about 256
//	                           bytes; K of them (1 if not said) are changed
//	/read                      reads n and cart, changes nothing, makes no session
//	/invalidate                ends the session
//	/stats[?gc=1]              sessions made and not ended, heap in use
//
// It runs in three places from this one source: linked into the server
// (/bench), as a native worker (/bench-worker) and as a WebAssembly one
// (/bench-wasm); the copies in bench/home are made by go generate.
package bench

//go:generate go run ./copy ../home/webapps

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"

	"github.com/serval-server/serval/webapp/servlet"
)

// App is the application; the names are those of its descriptor.
var App = servlet.App{
	Servlets: map[string]http.Handler{
		"hello":      http.HandlerFunc(hello),
		"count":      http.HandlerFunc(count),
		"cart":       http.HandlerFunc(cart),
		"read":       http.HandlerFunc(read),
		"invalidate": http.HandlerFunc(invalidate),
		"stats":      http.HandlerFunc(stats),
	},
	Listeners: map[string]any{"sessions": counter{}},
}

// node is what answers say of where they come from.
var node = nodeName()

func nodeName() string {
	if n := os.Getenv("BENCH_NODE"); n != "" {
		return n
	}
	return "?"
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	_, _ = w.Write([]byte(s)) // an error means that the client has gone
}

// intParam is a number from the query. The query is not parsed if it is empty,
// which is the case that is measured.
func intParam(r *http.Request, name string, otherwise int) (int, error) {
	if r.URL.RawQuery == "" {
		return otherwise, nil
	}
	v := r.URL.Query().Get(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("parameter %s: %q is not a number", name, v)
	}
	return n, nil
}

func badRequest(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusBadRequest) }

// get is an attribute, and whether there is one.
func get[T any](s *servlet.Session, name string) (T, bool) {
	v, err := servlet.Get[T](s, name)
	if err != nil && !errors.Is(err, servlet.ErrNoAttribute) {
		panic(err) // the server shows its error page and logs it
	}
	return v, err == nil
}

// set stores an attribute.
func set[T any](s *servlet.Session, name string, v T) {
	if err := servlet.Set(s, name, v); err != nil {
		panic(err)
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { text(w, "hello\n") }

func count(w http.ResponseWriter, r *http.Request) {
	pad, err := intParam(r, "pad", 0)
	attrs, err2 := intParam(r, "attrs", 0)
	if err = errors.Join(err, err2); err != nil {
		badRequest(w, err)
		return
	}
	s := servlet.SessionOf(r)
	n, exists := get[int](s, "n")
	if !exists && pad > 0 {
		set(s, "pad", prose(uint64(crc32.ChecksumIEEE([]byte(s.ID()))), pad))
	}
	n++
	set(s, "n", n)
	for i := range attrs {
		set(s, "a"+strconv.Itoa(i), n)
	}
	text(w, "n="+strconv.Itoa(n)+" new="+flag(!exists)+" node="+node+"\n")
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// maxCart bounds what one request can ask the server to keep.
const maxCart = 16 << 20

func cart(w http.ResponseWriter, r *http.Request) {
	size, err := intParam(r, "size", 16384)
	touch, err2 := intParam(r, "touch", 1)
	if err = errors.Join(err, err2); err != nil {
		badRequest(w, err)
		return
	}
	if size > maxCart {
		badRequest(w, fmt.Errorf("parameter size: at most %d", maxCart))
		return
	}
	s := servlet.SessionOf(r)
	c, exists := get[*Cart](s, "cart")
	if !exists {
		c = newCart(size)
	}
	crc := uint32(0)
	for range touch {
		crc = crc32.ChecksumIEEE([]byte(c.touch().Note))
	}
	set(s, "cart", c)
	text(w, fmt.Sprintf("n=%d new=%s node=%s items=%d sum=%d crc=%x\n", c.Version, flag(!exists), node, len(c.Items), c.sum(), crc))
}

func read(w http.ResponseWriter, r *http.Request) {
	s := servlet.ExistingSession(r)
	if s == nil {
		text(w, "n=0 new=1 node="+node+"\n")
		return
	}
	n, counted := get[int](s, "n")
	c, filled := get[*Cart](s, "cart")
	if !counted && filled {
		n = c.Version
	}
	answer := "n=" + strconv.Itoa(n) + " new=0 node=" + node
	if filled {
		answer += fmt.Sprintf(" items=%d sum=%d", len(c.Items), c.sum())
	}
	text(w, answer+"\n")
}

func invalidate(w http.ResponseWriter, r *http.Request) {
	s := servlet.ExistingSession(r)
	if s != nil {
		if err := s.Invalidate(); err != nil {
			panic(err)
		}
	}
	text(w, "ok "+flag(s != nil)+"\n")
}

// sessions counts those that this process has seen made and not ended.
var sessions atomic.Int64

// counter is the listener that keeps the count.
type counter struct{}

// SessionCreated implements servlet.SessionListener.
func (counter) SessionCreated(servlet.SessionEvent) { sessions.Add(1) }

// SessionDestroyed implements servlet.SessionListener.
func (counter) SessionDestroyed(servlet.SessionEvent) { sessions.Add(-1) }

func stats(w http.ResponseWriter, r *http.Request) {
	gc, err := intParam(r, "gc", 0)
	if err != nil {
		badRequest(w, err)
		return
	}
	if gc == 1 {
		runtime.GC()
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	text(w, fmt.Sprintf("sessions=%d manager=serval node=%s heapUsed=%d\n", sessions.Load(), node, m.HeapAlloc))
}
