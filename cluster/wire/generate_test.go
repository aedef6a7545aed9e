package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/serval-server/serval/cluster/replica"
)

// Generators of everything that travels.

func drawNode(t *rapid.T) replica.NodeID {
	if rapid.Bool().Draw(t, "small node") {
		return rapid.Uint32Range(0, 4).Draw(t, "node")
	}
	return rapid.Uint32().Draw(t, "node")
}

func drawID(t *rapid.T) replica.SessionID {
	switch rapid.IntRange(0, 9).Draw(t, "id") {
	case 0:
		return replica.SessionID(rapid.StringN(1, 40, 64).Draw(t, "text id"))
	case 1:
		return unpackID(rapid.SliceOfN(rapid.Byte(), idBytes, idBytes).Draw(t, "id bytes"))
	}
	return testID(rapid.IntRange(0, 5).Draw(t, "number"))
}

// testID is an id of the servers' form.
func testID(n int) replica.SessionID {
	return unpackID(bytes.Repeat([]byte{byte(n), byte(n >> 8), 0xa5}, idBytes/3))
}

func drawDot(t *rapid.T) replica.Dot {
	d := replica.Dot{Epoch: rapid.Uint32Range(0, 3).Draw(t, "epoch"), Node: drawNode(t)}
	switch rapid.IntRange(0, 2).Draw(t, "clock") {
	case 0:
		d.Clock = rapid.Uint64().Draw(t, "any clock")
	case 1:
		d.Clock = rapid.Uint64Range(0, 1<<20).Draw(t, "small clock")
	default:
		d.Clock = 1_790_000_000_000<<clockShift + rapid.Uint64Range(0, 1<<24).Draw(t, "real clock")
	}
	return d
}

func drawReign(t *rapid.T) replica.Reign {
	return replica.Reign{Epoch: rapid.Uint32Range(0, 3).Draw(t, "epoch"), Home: drawNode(t)}
}

func drawBytes(t *rapid.T) []byte {
	switch rapid.IntRange(0, 9).Draw(t, "value") {
	case 0: // compresses far too well
		return make([]byte, rapid.IntRange(0, 30_000).Draw(t, "zeros"))
	case 1:
		return bytes.Repeat([]byte("a text that compresses "), rapid.IntRange(20, 200).Draw(t, "repeats"))
	case 2:
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "noise"), 1))
		b := make([]byte, 500+r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
}

func drawMap(t *rapid.T) map[string][]byte {
	m := map[string][]byte{}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		m[rapid.SampledFrom([]string{"", "n", "cart", "user", "pad"}).Draw(t, "entry")] = drawBytes(t)
	}
	return m
}

func drawValue(t *rapid.T) replica.Value {
	if rapid.IntRange(0, 3).Draw(t, "is map") == 0 {
		return replica.Value{Map: drawMap(t)}
	}
	return replica.Value{Bytes: drawBytes(t)}
}

var keys = []string{"", "a", "an", "acart", string(bytes.Repeat([]byte("long"), 80))}

func drawOp(t *rapid.T) replica.Op {
	op := replica.Op{Key: rapid.SampledFrom(keys).Draw(t, "key")}
	if op.Remove = rapid.IntRange(0, 4).Draw(t, "remove") == 0; op.Remove {
		return op
	}
	op.Value = drawValue(t)
	switch rapid.IntRange(0, 3).Draw(t, "old") {
	case 0:
		op.Old = drawValue(t)
	case 1:
		op.Old = replica.Value{Bytes: slices.Clone(op.Value.Bytes), Map: op.Value.Map}
		if len(op.Old.Bytes) > 0 {
			op.Old.Bytes[rapid.IntRange(0, len(op.Old.Bytes)-1).Draw(t, "edit")]++
		}
	}
	return op
}

func drawLife(t *rapid.T) replica.Life {
	switch rapid.IntRange(0, 5).Draw(t, "life") {
	case 0:
		return replica.Life{Kind: replica.Dead, Dot: drawDot(t), Reason: replica.Reason(rapid.IntRange(0, 2).Draw(t, "reason"))}
	case 1:
		return replica.Life{Kind: replica.Renamed, Dot: drawDot(t), NewID: drawID(t)}
	}
	return replica.Life{}
}

func drawDots(t *rapid.T, most int) []replica.Dot {
	var out []replica.Dot
	for range rapid.IntRange(0, most).Draw(t, "dots") {
		out = append(out, drawDot(t))
	}
	return out
}

func drawState(t *rapid.T) *replica.State {
	s := &replica.State{ID: drawID(t), Life: drawLife(t), Heads: drawDots(t, 2)}
	for _, d := range drawDots(t, 2) {
		s.Seen = s.Seen.With(d)
	}
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	for _, key := range sorted[:rapid.IntRange(0, 3).Draw(t, "registers")] {
		g := replica.Register{Key: key}
		dots := append(drawDots(t, 1), drawDot(t))
		slices.SortFunc(dots, func(a, b replica.Dot) int { return b.Compare(a) })
		for _, d := range slices.Compact(dots) {
			g.Versions = append(g.Versions, replica.Version{Dot: d, Value: drawValue(t)})
		}
		s.Registers = append(s.Registers, g)
	}
	return s
}

func drawSets(t *rapid.T) []replica.OwnerSet {
	var out []replica.OwnerSet
	for range rapid.IntRange(0, 2).Draw(t, "sets") {
		out = append(out, replica.OwnerSet{Reign: drawReign(t), First: rapid.Bool().Draw(t, "first"), Nodes: drawNodes(t)})
	}
	return out
}

func drawNodes(t *rapid.T) []replica.NodeID {
	var out []replica.NodeID
	for range rapid.IntRange(0, 3).Draw(t, "nodes") {
		out = append(out, drawNode(t))
	}
	return out
}

func drawAge(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "age")) * time.Millisecond
}

func drawUpdate(t *rapid.T) *replica.Update {
	u := &replica.Update{Reign: drawReign(t), Delta: replica.Delta{ID: drawID(t), Base: drawDots(t, 2), Dot: drawDot(t)}}
	if rapid.IntRange(0, 7).Draw(t, "special") == 0 {
		u.Delta.Life = drawLife(t)
		u.Sets = drawSets(t)
		if rapid.Bool().Draw(t, "successor") {
			u.Successor = drawState(t)
		}
		return u
	}
	for range rapid.IntRange(0, 4).Draw(t, "ops") {
		u.Delta.Ops = append(u.Delta.Ops, drawOp(t))
	}
	return u
}

func drawMessage(t *rapid.T) replica.Message {
	switch k := rapid.SampledFrom(allKinds).Draw(t, "message"); k {
	case kindUpdate:
		return drawUpdate(t)
	case kindCopy:
		return replica.Copy{Reign: drawReign(t), State: drawState(t), Sets: drawSets(t), Idle: drawAge(t)}
	case kindTouch:
		return replica.Touch{ID: drawID(t), Reign: drawReign(t)}
	case kindAck:
		return replica.Ack{ID: drawID(t), Reign: drawReign(t), Dot: drawDot(t), Sum: rapid.Uint64().Draw(t, "sum")}
	case kindFenced:
		return replica.Fenced{ID: drawID(t), Reign: drawReign(t)}
	case kindNeed:
		return replica.Need{ID: drawID(t)}
	case kindClaim:
		return replica.Claim{ID: drawID(t), Reign: drawReign(t), Nodes: drawNodes(t), Former: drawNode(t), Sum: rapid.Uint64().Draw(t, "sum")}
	case kindPromise:
		p := replica.Promise{Reign: drawReign(t), Sets: drawSets(t), Alive: drawNode(t), Idle: drawAge(t), Same: rapid.Bool().Draw(t, "same")}
		if rapid.Bool().Draw(t, "has a copy") {
			p.State = drawState(t)
			p.ID = p.State.ID
		} else {
			p.ID = drawID(t)
		}
		return p
	case kindGrant:
		return replica.Grant{Reign: drawReign(t), State: drawState(t), Sets: drawSets(t), Idle: drawAge(t)}
	default:
		return drawShort(t, k)
	}
}

// allKinds are the kinds of which a message of package replica becomes one.
var allKinds = []kind{
	kindUpdate, kindUpdate, kindUpdate, kindCopy, kindTouch, kindAck, kindFenced, kindNeed, kindClaim, kindPromise, kindGrant,
	kindAsk, kindWhoHas, kindHas, kindRelease, kindHomes, kindDigest, kindListing, kindLevel,
}

func drawShort(t *rapid.T, k kind) replica.Message {
	switch k {
	case kindAsk:
		return replica.Ask{ID: drawID(t)}
	case kindWhoHas:
		return replica.WhoHas{ID: drawID(t)}
	case kindHas:
		return replica.Has{ID: drawID(t), Reign: drawReign(t)}
	case kindRelease:
		return replica.Release{ID: drawID(t), Reign: drawReign(t), Heads: drawDots(t, 2)}
	case kindHomes:
		m := replica.Homes{Entries: []replica.Has{}}
		for range rapid.IntRange(0, 3).Draw(t, "homes") {
			m.Entries = append(m.Entries, replica.Has{ID: drawID(t), Reign: drawReign(t)})
		}
		return m
	case kindDigest:
		return replica.Digest{Sums: rapid.SliceOfN(rapid.Uint64(), 0, 70).Draw(t, "sums")}
	case kindListing:
		m := replica.Listing{Entries: []replica.Fingerprint{}}
		for range rapid.IntRange(0, 3).Draw(t, "listed") {
			m.Segments = append(m.Segments, rapid.IntRange(0, replica.Segments-1).Draw(t, "segment"))
			m.Entries = append(m.Entries, replica.Fingerprint{ID: drawID(t), Sum: rapid.Uint64().Draw(t, "sum")})
		}
		return m
	case kindLevel:
		return replica.Level{Ask: rapid.Bool().Draw(t, "ask")}
	}
	panic(fmt.Sprint("no generator of kind ", k))
}
