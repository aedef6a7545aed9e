package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// rememberUnknown is how long it is remembered that nobody has a session, and
// maxUnknown how many such ids a shard remembers: an attacker can make up ids.
const (
	rememberUnknown = time.Second
	// askWithin bounds how long a request waits for a decision about its session:
	// longer than membership takes to find out who is there.
	askWithin  = 5 * time.Second
	maxUnknown = 4096
)

// maxAsks is how many requests of a shard may wait for a decision of other nodes.
const maxAsks = 8192

// Route says where a request for a session is served; hops is how often it has
// been forwarded. After RouteServe, Find finds the session. An error is the
// context's; the action is RouteRefuse then.
func (d *DeltaManager) Route(ctx context.Context, id sessions.ID, hops int) (Route, error) {
	sid, ok := realID(id)
	if !ok {
		return Route{Action: RouteUnknown}, nil
	}
	sh := d.app.shard(sid)
	for {
		if err := sh.waitTurn(ctx, sid); err != nil {
			return Route{Action: RouteRefuse}, err
		}
		a, err := sh.ask(ctx, sid, hops)
		if err != nil {
			return Route{Action: RouteRefuse}, err
		}
		switch a.Verdict {
		case replica.Serve:
			if sh.turning(sid) { // the sessions have yet to follow
				continue
			}
			return Route{}, nil
		case replica.Forward:
			d.app.counters.forwards.Add(1)
			home := d.app.peerOf(a.Home)
			return Route{Action: RouteForward, Node: home, Name: d.app.n.nameOf(home)}, nil
		case replica.Unknown:
			d.app.counters.unknown.Add(1)
			return Route{Action: RouteUnknown}, nil
		}
		d.app.counters.refused.Add(1)
		return Route{Action: RouteRefuse}, nil
	}
}

// waitTurn waits while a session changes its place.
func (sh *shard) waitTurn(ctx context.Context, id replica.SessionID) error {
	for {
		sh.mu.Lock()
		t := sh.turns[id]
		sh.mu.Unlock()
		if t == nil {
			return nil
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a session to change its place: %w", ctx.Err())
		}
	}
}

func (sh *shard) turning(id replica.SessionID) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.turns[id] != nil
}

// ask has the protocol decide on a request, with other nodes if need be.
func (sh *shard) ask(ctx context.Context, id replica.SessionID, hops int) (replica.Answer, error) {
	if err := sh.app.introduced(ctx); err != nil {
		return replica.Answer{}, err
	}
	now := sh.lock()
	if hops == 0 && sh.node.TryServe(now, id) {
		sh.unlock()
		return replica.Answer{Verdict: replica.Serve}, nil
	}
	if until, ok := sh.unknown[id]; ok {
		if now < until && sh.node.State(id) == nil {
			sh.unlock()
			return replica.Answer{Verdict: replica.Unknown}, nil
		}
		delete(sh.unknown, id)
	}
	if len(sh.asks) >= maxAsks {
		sh.unlock()
		return replica.Answer{Verdict: replica.Refuse}, nil
	}
	sh.serial++
	req, ch := sh.serial, make(chan replica.Answer, 1)
	sh.asks[req] = ch
	sh.node.Request(now, req, id, hops)
	sh.unlock()
	var a replica.Answer
	wait := time.NewTimer(askWithin)
	defer wait.Stop()
	select {
	case a = <-ch:
	case <-wait.C:
		// As long as the majority of the owners is elsewhere (strict).
		sh.mu.Lock()
		delete(sh.asks, req)
		sh.mu.Unlock()
		return replica.Answer{Verdict: replica.Refuse}, nil
	case <-ctx.Done():
		sh.mu.Lock()
		delete(sh.asks, req)
		sh.mu.Unlock()
		return a, fmt.Errorf("asking other nodes for a session: %w", ctx.Err())
	}
	if a.Verdict == replica.Unknown {
		sh.remember(id)
	}
	return a, nil
}

// remember notes that nobody has a session.
func (sh *shard) remember(id replica.SessionID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.unknown) < maxUnknown && sh.node.State(id) == nil {
		sh.unknown[id] = sh.app.n.now() + rememberUnknown
	}
}

// forgetUnknownLocked makes room once a second.
func (sh *shard) forgetUnknownLocked() {
	if len(sh.unknown) == 0 || sh.ticked < sh.forgetAt {
		return
	}
	sh.forgetAt = sh.ticked + rememberUnknown
	for id, until := range sh.unknown {
		if until <= sh.ticked {
			delete(sh.unknown, id)
		}
	}
}

// Find implements sessions.Replicator. The error is a sessions.ErrMoved if a
// living node is the session's home (Route says which), a sessions.ErrUnavailable if
// it cannot be decided now, or the context's.
func (d *DeltaManager) Find(ctx context.Context, _ sessions.AppKey, id sessions.ID) (*sessions.Snapshot, error) {
	sid, ok := realID(id)
	if !ok {
		return nil, nil
	}
	sh := d.app.shard(sid)
	for {
		if s := sh.snapshot(sid); s != nil {
			return s, nil
		}
		a, err := sh.ask(ctx, sid, 0)
		if err != nil {
			return nil, err
		}
		switch a.Verdict {
		case replica.Serve:
		case replica.Forward:
			return nil, errMoved(sid)
		case replica.Unknown:
			return nil, nil
		default:
			return nil, fmt.Errorf("session %s: %w", short(sid), sessions.ErrUnavailable)
		}
	}
}

// snapshot is the session if it is at home here, else nil.
func (sh *shard) snapshot(id replica.SessionID) *sessions.Snapshot {
	now := sh.lock()
	defer sh.unlock()
	age := sh.node.Age(now, id)
	if !sh.node.TryServe(now, id) {
		return nil
	}
	sh.flushLocked(now, id)
	st := sh.node.State(id)
	if st == nil || len(st.Heads) == 0 {
		return nil
	}
	if t := sh.turns[id]; t != nil {
		t.loaded = true
	}
	cause := sessions.Failover
	if _, ok := sh.granted[id]; ok {
		cause = sessions.StateTransfer
		delete(sh.granted, id)
	}
	m := metaOf(st)
	return &sessions.Snapshot{
		ID: sessionID(id), Version: m.version, Head: sessions.Dot(st.Heads[len(st.Heads)-1]), Created: m.created,
		Accessed: time.Now().Add(-age), MaxInactive: m.idle, Cause: cause, Attributes: attributes(st),
	}
}

var errNobody = errors.New("cluster: no other node runs the application")
