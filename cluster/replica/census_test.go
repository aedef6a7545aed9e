package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestCensus: what is counted, and found to be handed over, is the same whether sessions
// are packed or not, and counting unpacks none.
func TestCensus(t *testing.T) {
	for _, packed := range []bool{false, true} {
		n := NewNode(Config{Self: 1, Pack: time.Hour, MaxIdle: 2 * time.Hour}, Member{ID: 1, Name: "a"}, 0)
		var want Census
		var mine []SessionID
		for i, k := range []struct {
			home, next NodeID
			ended      bool
		}{{1, 1, false}, {1, 1, false}, {2, 2, false}, {1, 1, true}, {2, 2, true}, {1, 2, false}, {2, 1, false}} {
			s := n.get(SessionID(fmt.Sprintf("%08d-s", i)))
			s.Write(Dot{Epoch: 1, Node: k.home, Clock: uint64(i + 1)}, []Op{{Key: "k", Value: Value{Bytes: []byte("v")}}})
			s.reign = Reign{uint32(10 + i), k.home}
			if s.promised = s.reign; k.next != k.home {
				s.promised = Reign{uint32(11 + i), k.next}
			}
			if k.ended {
				s.Life = Life{Kind: Dead, Dot: Dot{Epoch: 2, Node: k.home, Clock: 1}}
			}
			n.note(s)
			if !k.ended {
				want.Sum += s.sumNow()
				want.MaxEpoch = s.reign.Epoch
			}
			switch {
			case k.ended:
			case k.home == 1:
				want.Home++
			default:
				want.Copies++
			}
			if !k.ended && k.home == 1 && k.next == 1 {
				mine = append(mine, s.ID)
			}
			if packed {
				n.pack(s)
			}
		}
		unpacked := func() (k int) {
			for _, s := range n.hot {
				if s != nil {
					k++
				}
			}
			return k
		}
		before := unpacked()
		if got := n.Census(); got != want {
			t.Errorf("packed %v: %+v, want %+v", packed, got, want)
		}
		got := n.Reigns()
		if slices.Sort(got); !slices.Equal(got, mine) {
			t.Errorf("packed %v: to be handed over are %v, want %v", packed, got, mine)
		}
		if after := unpacked(); after != before {
			t.Errorf("packed %v: %d sessions were unpacked", packed, after-before)
		}
	}
}
