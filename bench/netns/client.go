package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// session is what a client knows of a session.
type session struct {
	busy sync.Mutex // held by the client that uses it

	mu    sync.Mutex
	id    string // guarded by mu: without its route
	node  int    // guarded by mu: that of its route, 0: unknown
	sure  int    // guarded by mu: the highest value that was acknowledged and has to survive
	calm  int    // guarded by mu: sure when everything was last well
	tried int    // guarded by mu: requests that may have counted
	dead  bool   // guarded by mu: its end was acknowledged
	doubt bool   // guarded by mu: it may have ended: the answer is missing, or those who knew are gone
	known bool   // guarded by mu: its end has all its copies
}

// clients use sessions until their context ends.
type clients struct {
	o      options
	nodes  []*node
	http   *http.Client
	strict bool

	mu     sync.Mutex
	live   []*session // guarded by mu
	dead   []*session // guarded by mu
	broken []string   // guarded by mu

	requests, refused, failed, strangers, back, ended atomic.Int64
}

// requestTimeout is longer than any ack is waited for.
const requestTimeout = 4 * time.Second

func newClients(o options, nodes []*node) *clients {
	c := &clients{o: o, nodes: nodes, strict: o.consistency == "strict"}
	c.http = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: o.clients}}
	for range o.sessions {
		c.live = append(c.live, &session{})
	}
	return c
}

// run uses the sessions until ctx ends.
func (c *clients) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range c.o.clients {
		rnd := rand.New(rand.NewPCG(c.o.seed, uint64(i)+1))
		wg.Go(func() {
			for ctx.Err() == nil {
				c.step(ctx, rnd)
			}
		})
	}
	wg.Wait()
}

// step makes one request.
func (c *clients) step(ctx context.Context, rnd *rand.Rand) {
	c.mu.Lock()
	at := rnd.IntN(len(c.live))
	s := c.live[at]
	c.mu.Unlock()
	if !s.busy.TryLock() {
		return
	}
	defer s.busy.Unlock()
	s.mu.Lock()
	to, known := s.node, s.id != ""
	s.mu.Unlock()
	if to == 0 || rnd.IntN(10) == 0 { // balancers miss, and look elsewhere when a node fails
		to = 1 + rnd.IntN(len(c.nodes))
	}
	// Some tens of requests a second for each client: the machine also runs the nodes.
	pause := time.Duration(5+rnd.IntN(20)) * time.Millisecond
	switch r := rnd.IntN(200); {
	case r == 0 && known:
		c.end(ctx, s, to)
		c.mu.Lock()
		if i := indexOf(c.live, s); s.gone() && i >= 0 {
			c.live[i] = &session{}
			c.dead = append(c.dead, s)
		}
		c.mu.Unlock()
	default:
		c.count(ctx, s, to)
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

func indexOf(list []*session, s *session) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

func (s *session) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead || s.doubt
}

// answer is what a node said.
type answer struct {
	n      int
	fresh  bool // the session is a new one
	ok     string
	id     string // from the cookie, "" if there was none
	node   int    // from the cookie's route
	status int
}

// get asks a node for a path of the application.
func (c *clients) get(ctx context.Context, s *session, to int, path string) (a answer, err error) {
	s.mu.Lock()
	id, route := s.id, s.node
	s.mu.Unlock()
	method := http.MethodPost // which, unlike GET, net/http never sends twice
	if path == "/read" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, c.nodes[to-1].url()+"/bench"+path, nil)
	if err != nil {
		return a, err
	}
	if id != "" {
		value := id
		if route > 0 {
			value += fmt.Sprintf(".node%d", route)
		}
		req.AddCookie(&http.Cookie{Name: "JSESSIONID", Value: value})
	}
	res, err := c.http.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	a.status = res.StatusCode
	if err != nil || a.status != http.StatusOK {
		return a, err
	}
	for _, k := range res.Cookies() {
		if k.Name == "JSESSIONID" {
			var route string
			a.id, route, _ = strings.Cut(k.Value, ".")
			_, _ = fmt.Sscanf(route, "node%d", &a.node) // 0 if there is none
		}
	}
	if path == "/invalidate" {
		a.ok = strings.TrimSpace(string(body))
		return a, nil
	}
	var fresh int
	if _, err := fmt.Sscanf(string(body), "n=%d new=%d", &a.n, &fresh); err != nil {
		return a, fmt.Errorf("node %d answers %q", to, body)
	}
	a.fresh = fresh == 1
	return a, nil
}

// count adds one to the session's counter.
func (c *clients) count(ctx context.Context, s *session, to int) {
	s.mu.Lock()
	s.tried++
	s.mu.Unlock()
	c.requests.Add(1)
	a, err := c.get(ctx, s, to, "/count")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		c.failed.Add(1)
		s.node = 0
	case a.status != http.StatusOK:
		c.refused.Add(1)
		s.node = 0
	case s.id == "":
		s.id, s.node, s.sure = a.id, a.node, a.n
	case a.fresh:
		// A node that reaches nobody who knows the session has made another one, which
		// is not used.
		c.strangers.Add(1)
		s.node = 0
	case a.n > s.tried:
		c.breaks("session %s counts %d after %d requests, on node %d", s.id, a.n, s.tried, to)
	default:
		if a.n <= s.sure {
			c.back.Add(1)
			if c.strict {
				c.breaks("session %s answers %d on node %d after %d was acknowledged", s.id, a.n, to, s.sure)
			}
		}
		s.sure = max(s.sure, a.n)
		if a.id == s.id {
			s.node = a.node
		}
	}
}

// end invalidates the session.
func (c *clients) end(ctx context.Context, s *session, to int) {
	c.requests.Add(1)
	a, err := c.get(ctx, s, to, "/invalidate")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil || a.status != http.StatusOK:
		s.doubt = true
	case a.ok == "ok 1":
		s.dead = true
		c.ended.Add(1)
	}
}

func (c *clients) breaks(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = append(c.broken, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// each calls f for every session, with its mutex held.
func (c *clients) each(f func(*session)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Concat(c.live, c.dead) {
		s.mu.Lock()
		f(s)
		s.mu.Unlock()
	}
}

// well notes that everything is well: what is acknowledged by now has all its copies.
func (c *clients) well() { c.each(func(s *session) { s.calm, s.known = s.sure, s.dead }) }

// amnesty gives up what was acknowledged since everything was last well, changes and
// ends: the nodes that had it may have lost their memory.
func (c *clients) amnesty() {
	c.each(func(s *session) {
		s.sure = min(s.sure, s.calm)
		if s.dead && !s.known {
			s.dead, s.doubt = false, true
		}
	})
}
