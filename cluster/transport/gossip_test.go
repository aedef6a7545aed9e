package transport

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// member is memberlist on a node's port.
func member(t *testing.T, n *node) *memberlist.Memberlist {
	t.Helper()
	c := memberlist.DefaultLocalConfig()
	c.Name = fmt.Sprintf("%s#%08x", n.cfg.Self.Name, n.id)
	c.Transport = n.Gossip()
	c.SecretKey = bytes.Repeat([]byte{7}, 32)
	c.UDPBufferSize = 1200
	c.ProbeInterval, c.GossipInterval = 50*time.Millisecond, 20*time.Millisecond
	c.LogOutput = io.Discard
	m, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	return m
}

// TestMemberlist: its packets and streams share the port, before nodes are
// linked and after.
func TestMemberlist(t *testing.T) {
	ca := newAuthority(t)
	var nodes []*node
	var members []*memberlist.Memberlist
	for i, name := range []string{"a", "b", "c"} {
		n := start(t, ca, uint32(i+1), name, nil)
		nodes = append(nodes, n)
		members = append(members, member(t, n))
	}
	for _, m := range members[1:] {
		if n, err := m.Join([]string{nodes[0].Addr()}); n != 1 || err != nil {
			t.Fatalf("join: %d, %v", n, err)
		}
	}
	for i, m := range members {
		eventually(t, "all members", func() bool { return m.NumMembers() == 3 })
		eventually(t, "packets", func() bool { return nodes[i].Stats().GossipIn > 5 && m.GetHealthScore() == 0 })
	}
	nodes[0].Dial(nodes[1].self())
	nodes[0].wait(t, "link", func() bool { return nodes[0].up[2] == 1 })
	before := len(nodes[0].gossip.conns)
	if n, err := members[0].Join([]string{members[1].LocalNode().Name + "/" + nodes[1].Addr()}); n != 1 || err != nil {
		t.Fatalf("a stream over the link: %d, %v", n, err)
	}
	if len(nodes[0].gossip.conns) != before {
		t.Error("a connection of its own beside the link")
	}
	if n, err := members[0].Join([]string{"other#00000009/" + nodes[1].Addr()}); n != 0 || err == nil {
		t.Errorf("joined a node whose certificate has another name: %d, %v", n, err)
	}
	if _, err := nodes[0].Gossip().DialTimeout("127.0.0.1:1", 50*time.Millisecond); err == nil {
		t.Error("a stream to where nobody is")
	}
	if _, err := nodes[0].Gossip().WriteTo([]byte("x"), "no address"); err == nil {
		t.Error("a packet to where nobody can be")
	}
}

// TestGossipQueueIsBounded: packets that nobody takes are dropped and counted.
func TestGossipQueueIsBounded(t *testing.T) {
	ca := newAuthority(t)
	a, b := start(t, ca, 1, "a", nil), start(t, ca, 2, "b", nil)
	eventually(t, "dropping", func() bool {
		for range 200 {
			if _, err := b.Gossip().WriteTo([]byte("hello"), a.Addr()); err != nil {
				t.Fatal(err)
			}
		}
		return a.Stats().GossipDropped > 0
	})
	if p := <-a.Gossip().PacketCh(); string(p.Buf) != "hello" || p.From.String() != b.Addr() {
		t.Errorf("packet %q from %v", p.Buf, p.From)
	}
}

func TestFinalAdvertiseAddr(t *testing.T) {
	a := start(t, newAuthority(t), 1, "a", nil)
	ip, port, err := a.Gossip().FinalAdvertiseAddr("", 0)
	if err != nil || fmt.Sprintf("%s:%d", ip, port) != a.Addr() {
		t.Errorf("%v:%d, %v", ip, port, err)
	}
	ip, port, err = a.Gossip().FinalAdvertiseAddr("10.1.2.3", 7946)
	if err != nil || ip.String() != "10.1.2.3" || port != 7946 {
		t.Errorf("%v:%d, %v", ip, port, err)
	}
	if _, _, err = a.Gossip().FinalAdvertiseAddr("somewhere", 1); err == nil {
		t.Error("a name was taken for an address")
	}
}
