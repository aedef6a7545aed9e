package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
	"github.com/serval-server/serval/sessions"
)

// flip is a switch of replication that was thrown at run time.
type flip struct {
	App   sessions.AppKey `json:"app"` // "" is all
	On    bool            `json:"on"`
	Epoch uint64          `json:"epoch"`
	By    replica.NodeID  `json:"by"`
}

// later reports whether one change of a setting comes after another.
func later(epoch uint64, by replica.NodeID, than uint64, thanBy replica.NodeID) bool {
	return cmp.Or(cmp.Compare(epoch, than), cmp.Compare(by, thanBy)) > 0
}

// SetCache changes a cache's settings in the whole cluster: on nodes that are there
// now and on those that join. The error is an *UnknownCacheError, says which
// setting is not allowed, or that it could not be kept.
func (n *Node) SetCache(_ context.Context, name string, ch CacheChange) error {
	n.mu.Lock()
	c, ok := n.caches[name]
	if !ok {
		e := &UnknownCacheError{Name: name, Known: slices.Sorted(maps.Keys(n.caches))}
		n.mu.Unlock()
		return e
	}
	next := ch.apply(c.Cache)
	if err := next.Validate(); err != nil {
		n.mu.Unlock()
		return err
	}
	n.caches[name] = &CacheStatus{Cache: next, Epoch: c.Epoch + 1, By: n.ID()}
	f := n.caches[name].frame()
	n.mu.Unlock()
	n.reconfigure(name)
	n.tell(f)
	return n.keep()
}

func (c *CacheStatus) frame() wire.Cache {
	return wire.Cache{
		Name: c.Name, Epoch: c.Epoch, By: c.By, Mode: string(c.Mode), Owners: uint32(c.Owners), Ack: string(c.Ack), AckTimeout: c.AckTimeout,
		OnTimeout: string(c.OnTimeout), Misroute: string(c.Misroute), Consistency: string(c.Consistency),
	}
}

// hearCache takes a change that was made on another node.
func (n *Node) hearCache(f wire.Cache) {
	c := &CacheStatus{Epoch: f.Epoch, By: f.By, Cache: Cache{
		Name: f.Name, Mode: Mode(f.Mode), Owners: int(f.Owners), Ack: Ack(f.Ack), AckTimeout: f.AckTimeout,
		OnTimeout: OnTimeout(f.OnTimeout), Misroute: Misroute(f.Misroute), Consistency: Consistency(f.Consistency),
	}}
	if err := c.Validate(); err != nil {
		n.log.Warn("another node has changed a cache to what is not known here", "error", err)
		return
	}
	n.mu.Lock()
	have := n.caches[f.Name]
	if have != nil && !later(f.Epoch, f.By, have.Epoch, have.By) {
		n.mu.Unlock()
		return
	}
	n.caches[f.Name] = c
	n.mu.Unlock()
	n.reconfigure(f.Name)
	n.tell(f) // to those that the node of the change does not reach
	if err := n.keep(); err != nil {
		n.log.Error("keeping a cache's settings", "error", err)
	}
}

// reconfigure tells the applications that use a cache.
func (n *Node) reconfigure(cache string) {
	for _, a := range *n.apps.Load() {
		uses := false
		for _, d := range a.open() {
			if d.current().Name != cache {
				continue
			}
			uses = true
			n.mu.Lock()
			if err := n.settleLocked(d); err != nil {
				a.log.Error("cache settings do not go with what the application declares", "error", err)
			}
			n.mu.Unlock()
		}
		if d := a.newest(); uses && d != nil {
			a.log.Info("cache settings have changed", "settings", d.current().String())
			n.applyMu.Lock()
			a.configure(d.protocol())
			n.applyMu.Unlock()
		}
	}
}

// SetReplication switches the replication of an application on or off in the
// whole cluster; "" is all applications. While it is off commits stay where they
// are made, and each node serves what it is the home of.
func (n *Node) SetReplication(_ context.Context, key sessions.AppKey, on bool) error {
	n.mu.Lock()
	f := flip{App: key, On: on, Epoch: 1, By: n.ID()}
	for _, old := range n.switches {
		f.Epoch = max(f.Epoch, old.Epoch+1)
	}
	n.switches[key] = &f
	n.mu.Unlock()
	n.reswitch()
	n.tell(f.frame())
	return n.keep()
}

func (f *flip) frame() wire.Switch {
	return wire.Switch{App: string(f.App), Epoch: f.Epoch, By: f.By, On: f.On}
}

// hearSwitch takes a change that was made on another node.
func (n *Node) hearSwitch(f wire.Switch) {
	key := sessions.AppKey(f.App)
	n.mu.Lock()
	have := n.switches[key]
	if have != nil && !later(f.Epoch, f.By, have.Epoch, have.By) {
		n.mu.Unlock()
		return
	}
	n.switches[key] = &flip{App: key, On: f.On, Epoch: f.Epoch, By: f.By}
	n.mu.Unlock()
	n.reswitch()
	n.tell(f)
	if err := n.keep(); err != nil {
		n.log.Error("keeping a switch of replication", "error", err)
	}
}

// switchedOnLocked reports whether an application replicates: what was said last
// holds, of it or of all. The caller holds n.mu.
func (n *Node) switchedOnLocked(key sessions.AppKey) bool {
	all, own := n.switches[""], n.switches[key]
	switch {
	case own == nil && all == nil:
		return true
	case own == nil:
		return all.On
	case all == nil || later(own.Epoch, own.By, all.Epoch, all.By):
		return own.On
	}
	return all.On
}

// reswitch brings the applications to what the switches say.
func (n *Node) reswitch() {
	n.applyMu.Lock()
	for _, a := range *n.apps.Load() {
		n.mu.Lock()
		on := n.switchedOnLocked(a.key)
		n.mu.Unlock()
		if a.on.Swap(on) == on {
			continue
		}
		a.log.Info("replication was switched", "on", on)
		if d := a.newest(); !on && d != nil {
			a.solo(d.protocol())
			a.members = nil // that they are seen again is news
		}
	}
	n.applyMu.Unlock()
	n.apply()
	n.announce()
}

// changedSettings are the frames that tell of what was changed at run time.
func (n *Node) changedSettings() []wire.Frame {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []wire.Frame
	for _, name := range slices.Sorted(maps.Keys(n.caches)) {
		if c := n.caches[name]; c.Epoch > 0 {
			out = append(out, c.frame())
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.switches)) {
		out = append(out, n.switches[key].frame())
	}
	return out
}

// kept is the file of the settings that were changed at run time.
type kept struct {
	Caches   []CacheStatus `json:"caches"`
	Switches []flip        `json:"switches"`
}

const keptFile = "cluster.json"

// keep writes the settings that were changed at run time, all or nothing.
func (n *Node) keep() error {
	if n.cfg.DataDir == "" {
		return nil
	}
	var k kept
	n.keepMu.Lock()
	defer n.keepMu.Unlock()
	n.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(n.caches)) {
		if c := n.caches[name]; c.Epoch > 0 {
			k.Caches = append(k.Caches, *c)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.switches)) {
		k.Switches = append(k.Switches, *n.switches[key])
	}
	n.mu.Unlock()
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("cluster: encoding changed settings: %w", err)
	}
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("cluster: keeping changed settings: %w", err)
	}
	path := filepath.Join(n.cfg.DataDir, keptFile)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("cluster: keeping changed settings: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cluster: keeping changed settings: %w", err)
	}
	return nil
}

// recall reads what keep has written.
func (n *Node) recall() error {
	if n.cfg.DataDir == "" {
		return nil
	}
	path := filepath.Join(n.cfg.DataDir, keptFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cluster: settings that were changed at run time: %w", err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return fmt.Errorf("cluster: settings that were changed at run time: %s: %w (delete the file to go back to conf/server.toml)", path, err)
	}
	for i := range k.Caches {
		c := &k.Caches[i]
		if err := c.Validate(); err != nil {
			return fmt.Errorf("cluster: settings that were changed at run time: %s: %w", path, err)
		}
		n.caches[c.Name] = c
	}
	for i := range k.Switches {
		n.switches[k.Switches[i].App] = &k.Switches[i]
	}
	return nil
}
