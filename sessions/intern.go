package sessions

import "sync"

const (
	maxInterned     = 4096
	maxInternedName = 128
)

// interner gives attribute names and versions small numbers, so that a packed
// session does not repeat them. It is bounded: an application that makes up
// names pays for them in its sessions, not here.
type interner struct {
	mu      sync.RWMutex
	numbers map[string]uint32 // guarded by mu; from 1
	names   []string          // guarded by mu
}

// number returns the name's number, 0 if it has none.
func (n *interner) number(name string) uint32 {
	n.mu.RLock()
	i, ok := n.numbers[name]
	full := len(n.names) >= maxInterned
	n.mu.RUnlock()
	if ok || full || len(name) > maxInternedName {
		return i
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.numbers[name]; ok || len(n.names) >= maxInterned {
		return i
	}
	if n.numbers == nil {
		n.numbers = make(map[string]uint32)
	}
	n.names = append(n.names, name)
	n.numbers[name] = uint32(len(n.names))
	return uint32(len(n.names))
}

// name returns what number was given to; false if to nothing.
func (n *interner) name(i uint32) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if i == 0 || int(i) > len(n.names) {
		return "", false
	}
	return n.names[i-1], true
}
