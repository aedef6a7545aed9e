package servlet

import (
	"container/list"
	"sync"
)

const (
	// keepMin is the size from which an attribute's value is worth a token:
	// smaller ones are sent again with each request.
	keepMin = 512
	// keepTotal is how many bytes of values a worker keeps under tokens.
	keepTotal = 64 << 20
	// localSessions is for how many sessions a worker keeps local values.
	localSessions = 1 << 16
)

// valueCache holds attribute values under tokens, so that the server need not
// send them again. Tokens that the worker gives are even, the server's odd. It
// may forget at any time: what it lacks is loaded.
type valueCache struct {
	mu    sync.Mutex
	next  uint64                   // guarded by mu
	total int                      // guarded by mu; bytes
	items map[uint64]*list.Element // guarded by mu
	order *list.List               // guarded by mu; most recently used first
}

type heldValue struct {
	token uint64
	bytes []byte
}

func (c *valueCache) init() {
	c.items, c.order = make(map[uint64]*list.Element), list.New()
}

// keep stores a value under a token of the server's, or with 0 under one of the
// worker's own, and returns the token.
func (c *valueCache) keep(token uint64, b []byte) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == 0 {
		c.next += 2
		token = c.next
	}
	if e := c.items[token]; e != nil {
		c.total -= len(e.Value.(*heldValue).bytes)
		c.order.Remove(e)
	}
	c.items[token] = c.order.PushFront(&heldValue{token: token, bytes: b})
	for c.total += len(b); c.total > keepTotal; {
		last := c.order.Back()
		v := c.order.Remove(last).(*heldValue)
		delete(c.items, v.token)
		c.total -= len(v.bytes)
	}
	return token
}

// get returns the value of a token, nil if it is not held.
func (c *valueCache) get(token uint64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[token]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*heldValue).bytes
}

// localStore holds the values of SetLocal, which never leave the process, for a
// bounded number of sessions.
type localStore struct {
	mu       sync.Mutex
	sessions map[string]*list.Element // guarded by mu
	order    *list.List               // guarded by mu
}

type localValues struct {
	id     string
	values map[string]any
}

func (l *localStore) init() {
	l.sessions, l.order = make(map[string]*list.Element), list.New()
}

func (l *localStore) get(id, name string) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.sessions[id]
	if e == nil {
		return nil
	}
	return e.Value.(*localValues).values[name]
}

func (l *localStore) set(id, name string, v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.sessions[id]
	if v == nil {
		if e != nil {
			delete(e.Value.(*localValues).values, name)
		}
		return
	}
	if e == nil {
		e = l.order.PushFront(&localValues{id: id, values: make(map[string]any)})
		l.sessions[id] = e
	}
	l.order.MoveToFront(e)
	e.Value.(*localValues).values[name] = v
	if l.order.Len() > localSessions {
		delete(l.sessions, l.order.Remove(l.order.Back()).(*localValues).id)
	}
}

// drop forgets a session that has ended; move follows one that got a new id.
func (l *localStore) drop(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.sessions[id]; e != nil {
		l.order.Remove(e)
		delete(l.sessions, id)
	}
}

func (l *localStore) move(from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.sessions[from]; e != nil {
		delete(l.sessions, from)
		e.Value.(*localValues).id = to
		l.sessions[to] = e
	}
}
