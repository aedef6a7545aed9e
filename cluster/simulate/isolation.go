package main

import (
	"slices"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// expectPrompt notes which owners have no excuse for acknowledging a change
// late: others that are stopped or slow must not delay it (I12).
func (b *book) expectPrompt(h *host, ch *change) {
	n := &b.w.net
	if n.drop > 0 || n.spike > 0 || n.bound < 64 && n.streams || b.w.cfg.Strict || h == n.slow {
		return
	}
	for _, id := range replica.Owners(ch.id, h.id, h.cfg.Owners, b.w.membersAt(h)) {
		p := b.w.hostOf(id)
		if p != nil && p != h && b.healthy(h, p) && b.calm(p) {
			ch.prompt = append(ch.prompt, p)
		}
	}
}

// healthy says whether messages of two hosts reach each other soon.
func (b *book) healthy(h, p *host) bool {
	n := &b.w.net
	return b.w.reachable(h, p) && p != n.slow && h != n.slow && h.sees(p) && p.sees(h) &&
		(!n.streams || n.link[h.index][p.index].open && n.link[p.index][h.index].open)
}

// wasPrompt: with ack none a change waits for nobody, with ack one for no more
// than one owner that is well, whatever the others do.
func (b *book) wasPrompt(h *host, ch *change) {
	took := b.w.now - ch.began
	switch h.cfg.Ack {
	case replica.AckNone:
		if took > 0 && !b.w.cfg.Strict && !b.w.faults.config {
			b.w.fail("I12: change %d of %s waited %v for nobody", ch.number, ch.id, took)
		}
	case replica.AckOne:
		// There and back, each perhaps behind a batch that is under way.
		limit := 4*(time.Millisecond+b.w.net.jitter) + time.Second/5
		well := func(p *host) bool {
			return b.healthy(h, p) && max(p.stopped, p.woke, h.stopped, h.woke) < ch.began && p.viewed < ch.began && h.viewed < ch.began && !b.w.faults.config && !b.w.faults.loss
		}
		// Nor can a peer answer in time if one of the two was slow meanwhile, or another
		// home, of which the peers know, was to vouch for the change.
		if b.w.net.slowed >= ch.began || b.bySID[ch.id].claimed > ch.began {
			return
		}
		if took > limit && slices.ContainsFunc(ch.prompt, well) {
			b.w.fail("I12: change %d of %s waited %v though an owner was well", ch.number, ch.id, took)
		}
	}
}
