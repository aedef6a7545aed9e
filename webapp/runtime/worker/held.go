package worker

import (
	"bytes"
	"container/list"
	"sync"
)

const (
	// keepMin is the size from which a value is sent under a token, so that
	// it need not be sent again.
	keepMin = 512
	// keepTotal is how many bytes of values are remembered as held. It is
	// below what the SDK keeps, so that what is said to be held mostly is.
	keepTotal = 48 << 20
)

// heldValues remembers which attribute values a worker process holds, by session
// and name. The value itself is compared, so that it does not matter how a
// session came by it.
type heldValues struct {
	on bool // the worker keeps values

	mu    sync.Mutex
	next  uint64                    // guarded by mu; our tokens are odd
	total int                       // guarded by mu; bytes
	items map[heldKey]*list.Element // guarded by mu
	order *list.List                // guarded by mu; most recently used first
}

type heldKey struct{ session, name string }

type heldItem struct {
	key   heldKey
	token uint64
	value []byte
}

// look returns the token under which the worker holds the value (held), or a new
// one under which it shall keep it, or 0 if it is too small to be kept.
func (h *heldValues) look(session, name string, value []byte) (token uint64, held bool) {
	if !h.on || len(value) < keepMin {
		return 0, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := heldKey{session, name}
	if e := h.items[key]; e != nil {
		it := e.Value.(*heldItem)
		if bytes.Equal(it.value, value) {
			h.order.MoveToFront(e)
			return it.token, true
		}
	}
	h.next += 2
	h.putLocked(key, h.next-1, value)
	return h.next - 1, false
}

// has is look for a value that is too large to be sent with a request.
func (h *heldValues) has(session, name string, value []byte) (token uint64, held bool) {
	if !h.on {
		return 0, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.items[heldKey{session, name}]; e != nil {
		if it := e.Value.(*heldItem); bytes.Equal(it.value, value) {
			h.order.MoveToFront(e)
			return it.token, true
		}
	}
	return 0, false
}

// give is look for a value that the worker has asked for: it does not hold it,
// whatever it has been sent.
func (h *heldValues) give(session, name string, value []byte) (token uint64) {
	if !h.on || len(value) < keepMin {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next += 2
	h.putLocked(heldKey{session, name}, h.next-1, value)
	return h.next - 1
}

// told remembers that the worker keeps a value under a token that it gave.
func (h *heldValues) told(session, name string, token uint64, value []byte) {
	if !h.on || token == 0 || token%2 != 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.putLocked(heldKey{session, name}, token, value)
}

func (h *heldValues) putLocked(key heldKey, token uint64, value []byte) {
	if h.items == nil {
		h.items, h.order = make(map[heldKey]*list.Element), list.New()
	}
	if e := h.items[key]; e != nil {
		h.total -= len(e.Value.(*heldItem).value)
		h.order.Remove(e)
	}
	h.items[key] = h.order.PushFront(&heldItem{key: key, token: token, value: value})
	for h.total += len(value); h.total > keepTotal; {
		it := h.order.Remove(h.order.Back()).(*heldItem)
		delete(h.items, it.key)
		h.total -= len(it.value)
	}
}
