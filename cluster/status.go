package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/transport"
	"github.com/serval-server/serval/cluster/wire"
	"github.com/serval-server/serval/sessions"
)

// Status is what one node knows of the cluster. It is encoded as JSON.
type Status struct {
	Node     string         `json:"node"`
	ID       replica.NodeID `json:"id"`
	Zone     string         `json:"zone,omitempty"`
	Address  string         `json:"address"`
	Ready    bool           `json:"ready"`
	Draining bool           `json:"draining,omitempty"`
	Health   Health         `json:"health"`
	// CertificateEnds is when the node's certificate ends; zero: it is not known.
	CertificateEnds time.Time      `json:"certificateEnds,omitzero"`
	Members         []MemberStatus `json:"members"` // the other nodes, by name
	Caches          []CacheStatus  `json:"caches"`  // by name
	Apps            []AppStatus    `json:"apps"`    // by key
	Error           string         `json:"error,omitempty"`
}

// MemberStatus is another node, as this one sees it.
type MemberStatus struct {
	Name      string         `json:"name"`
	ID        replica.NodeID `json:"id"`
	Zone      string         `json:"zone,omitempty"`
	Address   string         `json:"address"`
	Live      bool           `json:"live"` // membership takes it for alive
	Connected bool           `json:"connected"`
	Lagging   bool           `json:"lagging,omitempty"`
	RTT       time.Duration  `json:"rtt"` // ns
	Sent      uint64         `json:"sent"`
	Received  uint64         `json:"received"`
	Queued    int            `json:"queued"`  // bytes that wait for it
	Dropped   uint64         `json:"dropped"` // messages that it was too slow for
	Crashed   bool           `json:"crashed,omitempty"`
	Leaving   bool           `json:"leaving,omitempty"`
}

// CacheStatus is a cache's settings. Epoch counts the changes at run time; the
// last one was made on the node By.
type CacheStatus struct {
	Cache
	Epoch uint64         `json:"epoch"`
	By    replica.NodeID `json:"by,omitempty"`
}

// AppStatus is an application on one node.
type AppStatus struct {
	Key         sessions.AppKey `json:"key"`
	Versions    []string        `json:"versions"`
	Cache       string          `json:"cache"`
	Mode        Mode            `json:"mode"`
	Owners      int             `json:"owners"` // of DIST
	Ack         Ack             `json:"ack"`
	Granularity string          `json:"granularity"`
	Replicating bool            `json:"replicating"` // false: switched off
	Level       bool            `json:"level"`
	Copying     bool            `json:"copying"` // copies of what is at home here are on their way to others
	Nodes       []string        `json:"nodes"`   // that run it, by name
	Home        int             `json:"home"`    // living sessions at home here
	Copies      int             `json:"copies"`
	MaxEpoch    uint32          `json:"maxEpoch"` // highest of any session
	Digests     []string        `json:"digests"`  // a root for each shard: equal where the same sessions are known
	Counters    Counters        `json:"counters"`
}

// Counters count since the node has started.
type Counters struct {
	Commits  uint64 `json:"commits"`
	Touches  uint64 `json:"touches"`  // that were sent on their own account
	Degraded uint64 `json:"degraded"` // answered with fewer copies than asked for
	Failed   uint64 `json:"failed"`   // refused for want of acks
	Forks    uint64 `json:"forks"`    // sessions that two nodes wrote at once
	Shadowed uint64 `json:"shadowed"` // values that lost to those of another home
	Claims   uint64 `json:"claims"`   // sessions taken over from a dead home
	Granted  uint64 `json:"granted"`  // handed to another node by consent
	Moved    uint64 `json:"moved"`    // lost to another home
	Forwards uint64 `json:"forwards"` // requests sent to another node
	Unknown  uint64 `json:"unknown"`  // requests for sessions that do not exist
	Refused  uint64 `json:"refused"`  // requests that could not be decided
	Expired  uint64 `json:"expired"`
}

// counters are Counters in the making.
type counters struct {
	commits, touches, degraded, failed, forks, shadowed, claims, granted, moved, forwards, unknown, refused, expired atomic.Uint64
}

func (c *counters) read() Counters {
	return Counters{
		Commits: c.commits.Load(), Touches: c.touches.Load(), Degraded: c.degraded.Load(), Failed: c.failed.Load(),
		Forks: c.forks.Load(), Shadowed: c.shadowed.Load(), Claims: c.claims.Load(), Granted: c.granted.Load(), Moved: c.moved.Load(),
		Forwards: c.forwards.Load(), Unknown: c.unknown.Load(), Refused: c.refused.Load(), Expired: c.expired.Load(),
	}
}

// Status is what this node knows. It looks at all sessions.
func (n *Node) Status() Status {
	s := Status{
		Node: n.cfg.Name, ID: n.ID(), Zone: n.cfg.Zone, Address: n.cfg.Address, Ready: n.Ready(), Draining: n.draining.Load(),
		Members: []MemberStatus{}, Apps: []AppStatus{},
	}
	if n.cfg.CertificateEnds != nil {
		s.CertificateEnds = n.cfg.CertificateEnds()
	}
	links := map[replica.NodeID]transport.PeerStats{}
	if network := n.network(); network != nil {
		s.Health = network.Health()
		for _, p := range network.Stats().Peers {
			links[p.Peer.ID] = p
		}
	}
	n.mu.Lock()
	for _, p := range n.peers {
		l := links[p.ID]
		s.Members = append(s.Members, MemberStatus{
			Name: p.Name, ID: p.ID, Zone: p.Zone, Address: p.Address, Live: p.live, Connected: p.connected, Lagging: p.slow, Crashed: p.crashed,
			Leaving: p.leaving, RTT: l.RTT, Sent: l.BytesOut, Received: l.BytesIn, Queued: l.Queue, Dropped: l.Dropped,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(n.caches)) {
		s.Caches = append(s.Caches, *n.caches[name])
	}
	n.mu.Unlock()
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	for _, a := range *n.apps.Load() {
		s.Apps = append(s.Apps, a.status())
	}
	slices.SortFunc(s.Apps, func(a, b AppStatus) int { return cmp.Compare(a.Key, b.Key) })
	return s
}

func (a *app) status() AppStatus {
	s := AppStatus{Key: a.key, Replicating: a.on.Load(), Level: a.isLevel(), Counters: a.counters.read(), Versions: []string{}}
	for _, d := range a.open() {
		set := d.current()
		s.Versions = append(s.Versions, d.cfg.Load().Version)
		s.Cache, s.Mode, s.Owners, s.Ack, s.Granularity = set.Name, set.Mode, set.Owners, set.Ack, string(set.granularity)
	}
	s.Nodes = []string{a.n.cfg.Name}
	for _, m := range a.targets() {
		s.Nodes = append(s.Nodes, m.Name)
	}
	slices.Sort(s.Nodes)
	for _, sh := range a.shards {
		s.Digests = append(s.Digests, sh.digest(&s))
	}
	return s
}

// digest adds a shard's figures to s and returns the sum of the fingerprints of
// the living sessions that it knows.
func (sh *shard) digest(s *AppStatus) string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c := sh.node.Census()
	s.Home, s.Copies, s.MaxEpoch = s.Home+c.Home, s.Copies+c.Copies, max(s.MaxEpoch, c.MaxEpoch)
	s.Copying = s.Copying || sh.node.Owing()
	return fmt.Sprintf("%016x", c.Sum)
}

// Unsettled names the nodes that have not yet, for some application that replicates, met all
// others that run it and made their copies. Nodes that did not answer are not among them.
func Unsettled(nodes []Status) []string {
	runs := map[sessions.AppKey][]string{} // by application that replicates: who runs it
	on := map[sessions.AppKey]bool{}
	for i := range nodes {
		for _, a := range nodes[i].Apps {
			runs[a.Key] = append(runs[a.Key], nodes[i].Node)
			on[a.Key] = on[a.Key] || a.Replicating
		}
	}
	var out []string
	for i := range nodes {
		waits := func(a AppStatus) bool {
			missed := func(name string) bool { return !slices.Contains(a.Nodes, name) }
			return on[a.Key] && (!a.Replicating || !a.Level || a.Copying || slices.ContainsFunc(runs[a.Key], missed))
		}
		if slices.ContainsFunc(nodes[i].Apps, waits) {
			out = append(out, nodes[i].Node)
		}
	}
	return out
}

// statusWait is how long ClusterStatus waits for a node.
const statusWait = 5 * time.Second

// ClusterStatus asks all nodes for their Status and returns them by name, this
// node's among them. One that does not answer in time is there with its Error.
func (n *Node) ClusterStatus(ctx context.Context) []Status {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	out := []Status{n.Status()}
	type query struct {
		p      Peer
		seq    uint64
		answer chan Status
	}
	var queries []query
	n.mu.Lock()
	for _, p := range n.peers {
		n.serial++
		q := query{p.Peer, n.serial, make(chan Status, 1)}
		n.queries[q.seq] = q.answer
		queries = append(queries, q)
	}
	n.mu.Unlock()
	network := n.network()
	for _, q := range queries {
		if !network.Control(q.p.ID, wire.StatusQuery{Seq: q.seq}) {
			q.answer <- Status{Node: q.p.Name, ID: q.p.ID, Zone: q.p.Zone, Address: q.p.Address, Error: "not connected"}
		}
	}
	for _, q := range queries {
		s, ok := await(ctx, q.answer)
		if !ok {
			s = Status{Node: q.p.Name, ID: q.p.ID, Zone: q.p.Zone, Address: q.p.Address, Error: "no answer"}
		}
		out = append(out, s)
		n.mu.Lock()
		delete(n.queries, q.seq)
		n.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID)) })
	return out
}

// await waits for an answer. One that has come counts, also when the time is up
// meanwhile: another node may have used it up.
func await(ctx context.Context, answer <-chan Status) (Status, bool) {
	select {
	case s := <-answer:
		return s, true
	case <-ctx.Done():
	}
	select {
	case s := <-answer:
		return s, true
	default:
		return Status{}, false
	}
}

// answerStatus tells a peer what this node knows.
func (n *Node) answerStatus(to replica.NodeID, seq uint64) {
	n.jobs.do(func(context.Context) {
		b, err := json.Marshal(n.Status())
		if err != nil || len(b) > wire.MaxFrame-64 {
			n.log.Error("telling a peer this node's status", "bytes", len(b), "error", err)
			return
		}
		n.network().Control(to, wire.Status{Seq: seq, Body: b})
	})
}

// hearStatus takes a peer's answer.
func (n *Node) hearStatus(f wire.Status) {
	n.mu.Lock()
	ch := n.queries[f.Seq]
	delete(n.queries, f.Seq)
	n.mu.Unlock()
	if ch == nil {
		return
	}
	var s Status
	if err := json.Unmarshal(f.Body, &s); err != nil {
		s.Error = "its answer does not decode: " + err.Error()
	}
	ch <- s // it has room for one
}
