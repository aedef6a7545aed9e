package cluster

import (
	"fmt"
	"slices"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// Copy is what a node knows of a session, without anything that is in it. It is for
// those who compare nodes: copies of one session with the same sum are the same.
type Copy struct {
	App     sessions.AppKey `json:"app"`
	Session string          `json:"session"` // the beginning of its id, as logs have it
	Sum     string          `json:"sum"`
	Live    bool            `json:"live"` // false: it has ended, or goes by another id now
	Epoch   uint32          `json:"epoch"`
	Home    replica.NodeID  `json:"home"`
	Owner   bool            `json:"owner"` // this node should have a copy
	Owners  int             `json:"owners"`
	// Sets are, in the strict profile, the nodes of whom a majority must agree before
	// another node becomes the home, for each reign that still counts: its epoch, its
	// home, and them; 0 is one that is known to have lost its memory.
	Sets []string `json:"sets,omitempty"`
}

// Copies are all sessions that this node knows, those that it would not have to
// keep too.
func (n *Node) Copies() []Copy {
	out := []Copy{}
	for _, a := range *n.apps.Load() {
		for _, sh := range a.shards {
			out = sh.copies(out)
		}
	}
	return out
}

func (sh *shard) copies(out []Copy) []Copy {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, f := range sh.node.Fingerprints() {
		st := sh.node.State(f.ID)
		if st == nil {
			continue
		}
		reign, owners := sh.node.Reign(f.ID), sh.node.Owners(f.ID)
		out = append(out, Copy{
			App: sh.app.key, Session: short(f.ID), Sum: fmt.Sprintf("%016x", f.Sum), Live: st.Life.Kind == replica.Live,
			Epoch: reign.Epoch, Home: sh.app.peerOf(reign.Home), Owner: slices.Contains(owners, sh.self), Owners: len(owners),
			Sets: sh.setsLocked(f.ID),
		})
	}
	return out
}

func (sh *shard) setsLocked(id replica.SessionID) (out []string) {
	for _, set := range sh.node.Sets(id) {
		text := fmt.Sprintf("%d/%08x:", set.Reign.Epoch, sh.app.peerOf(set.Reign.Home))
		for _, o := range set.Nodes {
			text += fmt.Sprintf(" %08x", sh.app.peerOf(o))
		}
		out = append(out, text)
	}
	return out
}
