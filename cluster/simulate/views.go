package main

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// watch is the failure detector of a host: it takes a peer that it has not heard
// of for a while out of the view. It is also wrong at times. Connections are
// looked after here too.
func (w *world) watch(h *host) {
	changed := false
	for i, p := range w.nodes {
		if p == h || p.node == nil {
			continue
		}
		if w.reachable(h, p) {
			h.heard[i] = w.now
			if w.net.streams && !w.net.link[h.index][i].open && w.chance(0.3) {
				w.connect(h, p)
			}
			if h.view[i] != p.id && !p.leaving && w.chance(0.2) {
				h.view[i] = p.id
				changed = true
				if h.woke > 0 {
					h.found[i] = w.now
				}
				if p.doubted > 0 {
					p.doubted = w.now // until now the others could not tell it what they know
				}
				if h.doubted > 0 {
					h.doubted = w.now
				}
			}
		} else if w.net.streams && w.now-h.heard[i] > w.net.idle {
			w.disconnect(h, p)
		}
		if h.view[i] == 0 {
			continue
		}
		if w.now-h.heard[i] > w.faults.detect || !w.quiet && w.chance(w.faults.alarm) {
			if w.reachable(h, p) || p.paused && w.now-h.heard[i] <= w.faults.detect {
				// A mistake also where the peer stands still just now, for a moment that
				// may be too short for it to notice.
				w.stats.add("false alarm")
				p.doubted, h.doubted = w.now, w.now
			}
			h.view[i] = 0
			changed = true
		}
	}
	if changed {
		w.showView(h)
	}
}

func (w *world) showView(h *host) {
	members := w.membersAt(h)
	h.viewed = w.now
	w.logf("%s sees %v", h.name, members)
	h.node.View(w.local(h), members)
	w.effects(h)
}

// membersAt are the nodes that a host sees.
func (w *world) membersAt(h *host) []replica.Member {
	members := []replica.Member{{ID: h.id, Name: h.name, Zone: h.zone}}
	for i, id := range h.view {
		if id != 0 {
			members = append(members, replica.Member{ID: id, Name: w.nodes[i].name, Zone: w.nodes[i].zone})
		}
	}
	return members
}

// sees says whether a peer's present incarnation is in the view of h.
func (h *host) sees(p *host) bool { return h == p || h.view[p.index] == p.id }

// finds says whether the node was told that a peer, which may be gone by now, does
// not keep up.
func (h *host) finds(id replica.NodeID) bool { return h.lagging[id] }

// notice takes an incarnation out of a host's view at once: it was seen to go.
func (w *world) notice(p, h *host, id replica.NodeID, d time.Duration) {
	w.later(p, d, func(*replica.Node) {
		if p.view[h.index] == id {
			p.view[h.index] = 0
			w.showView(p)
		}
	})
}
