package main

import (
	"maps"
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// network is what can go wrong between the hosts.
type network struct {
	cut    map[[2]string]bool // from, to: nothing gets through
	drop   float64
	dup    float64
	jitter time.Duration
	spike  float64 // the chance of a delay of up to 5 s
	slow   string  // a host to and from which all takes 50 times as long
}

// transmit sends a message, as badly as the network is just now.
func (w *world) transmit(h *host, s replica.Send) {
	to := w.hostOf(s.To)
	if to == nil {
		return
	}
	id, from := to.id, h.id
	msg := s.Message
	if w.bug != nil && w.bug.message != nil {
		if msg = w.bug.message(w, h, to, msg); msg == nil {
			return
		}
	}
	w.book.sent(h, replica.Send{To: s.To, Message: msg})
	if w.net.cut[[2]string{h.name, to.name}] || !w.quiet && w.chance(w.net.drop) {
		w.stats.add("dropped")
		return
	}
	copies := 1
	if !w.quiet && w.chance(w.net.dup) {
		copies = 2
		w.stats.add("duplicated")
	}
	for range copies {
		w.after(w.delay(h, to), func() {
			w.step(to, id, func(n *replica.Node) {
				if w.keep {
					w.logf("%s -> %s %T%+v", h.name, to.name, msg, brief(msg))
				}
				w.stats.message(msg)
				n.Receive(w.now, from, msg)
				if r, ok := msg.(replica.Release); ok {
					delete(to.checked, r.ID) // it may begin anew, with an older copy
				}
			})
		})
	}
}

func (w *world) delay(h, to *host) time.Duration {
	d := w.between(200*time.Microsecond, time.Millisecond+w.net.jitter)
	if w.quiet {
		return d
	}
	if w.net.slow == h.name || w.net.slow == to.name {
		d *= 50
	}
	if w.chance(w.net.spike) {
		w.stats.add("delay spike")
		d += w.between(0, 5*time.Second)
	}
	return d
}

// reachable says whether two hosts hear each other.
func (w *world) reachable(a, b *host) bool {
	return a.up && b.up && !a.paused && !b.paused &&
		!w.net.cut[[2]string{a.name, b.name}] && !w.net.cut[[2]string{b.name, a.name}]
}

// watch is the failure detector of a host: it takes a peer that it has not heard
// of for a while out of the view. It is also wrong at times.
func (w *world) watch(h *host) {
	changed := false
	for _, p := range w.nodes {
		if p == h {
			continue
		}
		if w.reachable(h, p) {
			h.heard[p.name] = w.now
			if h.view[p.name] != p.id && w.chance(0.2) {
				h.view[p.name] = p.id
				changed = true
			}
		}
		_, in := h.view[p.name]
		if !in {
			continue
		}
		if w.now-h.heard[p.name] > w.faults.detect || !w.quiet && w.chance(w.faults.alarm) {
			if w.reachable(h, p) {
				w.stats.add("false alarm")
			}
			delete(h.view, p.name)
			changed = true
		}
	}
	if changed {
		w.showView(h)
	}
}

func (w *world) showView(h *host) {
	members := []replica.Member{{ID: h.id, Name: h.name, Zone: h.zone}}
	for _, name := range slices.Sorted(maps.Keys(h.view)) {
		members = append(members, replica.Member{ID: h.view[name], Name: name, Zone: w.byName(name).zone})
	}
	w.logf("%s sees %v", h.name, members)
	h.node.View(w.now, members)
	w.effects(h)
}

func (w *world) byName(name string) *host {
	for _, h := range w.nodes {
		if h.name == name {
			return h
		}
	}
	return nil
}
