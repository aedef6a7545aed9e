package cluster

import (
	"time"

	"github.com/serval-server/serval/cluster/replica"
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
	Members  []MemberStatus `json:"members"` // the other nodes, by name
	Caches   []CacheStatus  `json:"caches"`  // by name
	Apps     []AppStatus    `json:"apps"`    // by key
	Error    string         `json:"error,omitempty"`
}

// MemberStatus is another node, as this one sees it.
type MemberStatus struct {
	Name      string         `json:"name"`
	ID        replica.NodeID `json:"id"`
	Zone      string         `json:"zone,omitempty"`
	Address   string         `json:"address"`
	Connected bool           `json:"connected"`
	Lagging   bool           `json:"lagging,omitempty"`
	RTT       time.Duration  `json:"rtt"` // ns
	Sent      uint64         `json:"sent"`
	Received  uint64         `json:"received"`
	Queued    uint64         `json:"queued"`
}

// CacheStatus is a cache's settings; Epoch counts the changes at run time.
type CacheStatus struct {
	Cache
	Epoch uint64 `json:"epoch"`
}

// AppStatus is an application on one node.
type AppStatus struct {
	Key         sessions.AppKey `json:"key"`
	Versions    []string        `json:"versions"`
	Cache       string          `json:"cache"`
	Mode        Mode            `json:"mode"`
	Owners      int             `json:"owners"` // 0: all
	Ack         Ack             `json:"ack"`
	Granularity string          `json:"granularity"`
	Replicating bool            `json:"replicating"` // false: switched off
	Level       bool            `json:"level"`
	Nodes       []string        `json:"nodes"` // that run it, by name
	Home        int             `json:"home"`  // living sessions at home here
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
