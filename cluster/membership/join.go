package membership

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// absent is an address that should answer.
type absent struct {
	since  time.Time // since when it is missing
	tried  time.Time // when it was asked last
	asking bool      // it is being asked
	lost   string    // the name of the node there that was declared dead; "" for a seed's address
}

// seed is what a seed's name meant when it was looked up.
type seed struct {
	at    time.Time
	addrs []netip.AddrPort
}

const (
	// lookEvery is how often keepJoined looks around.
	lookEvery = time.Second
	// pause is how much later than it should it looks, if the process stood
	// still (SIGSTOP, a frozen machine).
	pause = time.Second
	// maxMissing bounds the addresses that are remembered, forgetAfter how long.
	maxMissing  = 64
	forgetAfter = 24 * time.Hour
	// maxWait bounds the time between two questions to one address: an address
	// that has been missing for a time t is asked each t/10, at least each second.
	maxWait = 30 * time.Second
	// firstJoinTimeout bounds how long Start waits.
	firstJoinTimeout = 3 * time.Second
	// refusedWait is how long Start waits for seeds all the same that all refuse: longer
	// than joining takes, should something between the hosts refuse for them.
	refusedWait = 300 * time.Millisecond
)

// firstJoin asks every seed once, and returns when one has answered or none has, or
// soon when there is none. Of two nodes that start at the same time one finds the
// other: both listen before they ask, so that not both are refused.
func (m *Membership) firstJoin() {
	ctx, cancel := context.WithTimeout(m.ctx, firstJoinTimeout)
	defer cancel()
	targets := m.targets(ctx)
	answers := make(chan error, len(targets))
	for _, addr := range targets {
		m.run(func() { answers <- m.ask(addr) })
	}
	if len(targets) > 0 && m.cfg.Refuses != nil {
		m.run(func() {
			if m.allRefuse(ctx, targets) {
				wait(ctx, refusedWait)
				cancel()
			}
		})
	}
	for range targets {
		select {
		case err := <-answers:
			if err == nil {
				cancel()
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	m.joined.Store(m.conflict() == nil)
}

// allRefuse reports whether for certain no node listens at any of the addresses.
func (m *Membership) allRefuse(ctx context.Context, addrs []string) bool {
	refused := make(chan bool, len(addrs))
	for _, addr := range addrs {
		m.run(func() { refused <- m.cfg.Refuses(ctx, addr) })
	}
	for range addrs {
		select {
		case yes := <-refused:
			if !yes {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// wait returns after d, or when the context ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// keepJoined asks whoever should be there and is not, until Close.
func (m *Membership) keepJoined() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := m.now()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		if m.leaving.Load() {
			return
		}
		if m.now().Sub(last) > lookEvery+pause {
			m.stoodStill()
		}
		ctx, cancel := context.WithTimeout(m.ctx, firstJoinTimeout)
		for _, addr := range m.targets(ctx) {
			m.run(func() { _ = m.ask(addr) }) // it has logged why
		}
		cancel()
		last = m.now()
	}
}

// stoodStill asks every node that this one knows: they may have declared it dead
// meanwhile, and what they said of it may be lost.
func (m *Membership) stoodStill() {
	m.mu.Lock()
	m.stats.Pauses++
	for _, a := range m.missing {
		a.tried = time.Time{}
	}
	m.mu.Unlock()
	m.log.Warn("this process stood still; asking the other nodes whether they took it for dead")
	for _, n := range m.View().Members {
		if n.ID != m.self.ID {
			m.run(func() { _ = m.ask(n.Address) }) // it has logged why
		}
	}
}

// targets are the addresses to ask now; they are marked as being asked.
func (m *Membership) targets(ctx context.Context) (out []string) {
	m.resolve(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	present := map[string]bool{m.self.Address: true}
	for _, mem := range m.nodes {
		present[mem.Address] = true
	}
	seeds := map[string]bool{}
	for _, s := range m.resolved {
		for _, a := range s.addrs {
			addr := a.String()
			seeds[addr] = true
			if !present[addr] && m.missing[addr] == nil {
				m.missing[addr] = &absent{since: now}
			}
		}
	}
	for addr, a := range m.missing {
		switch {
		case a.asking:
		case present[addr], a.lost == "" && !seeds[addr], !seeds[addr] && now.Sub(a.since) > forgetAfter:
			delete(m.missing, addr)
		case now.Sub(a.tried) >= min(max(now.Sub(a.since)/60, lookEvery/2), maxWait):
			a.asking, a.tried = true, now
			out = append(out, addr)
		}
	}
	m.boundMissing()
	return out
}

// boundMissing forgets the addresses that have been missing for the longest. The
// caller holds mu.
func (m *Membership) boundMissing() {
	for len(m.missing) > maxMissing {
		oldest := ""
		for addr, a := range m.missing {
			if oldest == "" || a.since.Before(m.missing[oldest].since) {
				oldest = addr
			}
		}
		delete(m.missing, oldest)
	}
}

// forgetDead bounds the ids that are remembered. The caller holds mu.
func (m *Membership) forgetDead() {
	for len(m.dead) > maxMissing {
		var oldest uint32
		for id, at := range m.dead {
			if oldest == 0 || at.Before(m.dead[oldest]) {
				oldest = id
			}
		}
		delete(m.dead, oldest)
	}
}

// resolve looks the seeds' names up: each second while this node is alone, each
// half minute otherwise. What a name meant last holds until it means something else.
func (m *Membership) resolve(ctx context.Context) {
	every := maxWait
	if len(m.View().Members) == 1 {
		every = lookEvery / 2
	}
	var wg sync.WaitGroup
	for _, s := range m.cfg.Seeds {
		m.mu.Lock()
		known := m.resolved[s]
		m.mu.Unlock()
		if known != nil && m.now().Sub(known.at) < every {
			continue
		}
		wg.Go(func() {
			host, port, _ := splitSeed(s) // validate has
			ips, err := m.cfg.Resolve(ctx, host)
			now := &seed{at: m.now()}
			for _, ip := range ips {
				now.addrs = append(now.addrs, netip.AddrPortFrom(ip, port))
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if err != nil {
				m.log.Debug("looking up a seed", "seed", s, "error", err)
				m.stats.LastSeedFail = err.Error()
				if known != nil {
					now.addrs = known.addrs
				}
			}
			m.resolved[s] = now
		})
	}
	wg.Wait()
}

// ask exchanges everything that is known with the node at an address.
func (m *Membership) ask(addr string) error {
	_, err := m.list.Join([]string{addr})
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.missing[addr]; a != nil {
		a.asking = false
	}
	m.stats.LastSeedFail = ""
	if err != nil {
		m.stats.LastSeedFail = err.Error()
		m.log.Debug("asking a node that should be there", "address", addr, "error", err)
	}
	return err
}
