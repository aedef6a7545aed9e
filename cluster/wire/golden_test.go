package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-server/serval/cluster/replica"
)

// goldenMessages are one of each kind and form, in the order in which they are
// sent on one lane.
func goldenMessages() []struct {
	name string
	m    replica.Message
} {
	reign := replica.Reign{Epoch: 1, Home: 0x9e3779b9}
	a, b := testID(1), testID(2)
	text := bytes.Repeat([]byte("all that a customer has put into the cart; "), 20)
	edited := bytes.Replace(text, []byte("customer"), []byte("client"), 1)
	state := func() *replica.State {
		s := &replica.State{ID: b}
		s.Write(dotAt(40), []replica.Op{{Key: "an", Value: replica.Value{Bytes: []byte{5}}}, {Key: "au", Value: replica.Value{Map: map[string][]byte{"x": {1}, "y": nil}}}})
		s.Write(replica.Dot{Epoch: 2, Node: 7, Clock: dotAt(41).Clock + 3}, []replica.Op{{Key: "an", Value: replica.Value{Bytes: []byte{6}}}})
		return s
	}
	large := &replica.State{ID: b}
	large.Write(dotAt(42), []replica.Op{{Key: "atext", Value: replica.Value{Bytes: text}}})
	ops := func(ms int, ops ...replica.Op) *replica.Update {
		return &replica.Update{Reign: reign, Delta: replica.Delta{ID: a, Base: []replica.Dot{dotAt(ms - 1)}, Dot: dotAt(ms), Ops: ops}}
	}
	sets := []replica.OwnerSet{{Reign: reign, Nodes: []replica.NodeID{1, 0x9e3779b9}, First: true}, {Reign: reign, Nodes: []replica.NodeID{0, 1}}}
	dead := ops(9)
	dead.Delta.Life = replica.Life{Kind: replica.Dead, Dot: dotAt(9), Reason: replica.Expired}
	renamed := ops(10)
	renamed.Delta.Life = replica.Life{Kind: replica.Renamed, Dot: dotAt(10), NewID: b}
	renamed.Successor, renamed.Sets = state(), sets
	return []struct {
		name string
		m    replica.Message
	}{
		{"update-new", count(a, 1, replica.Dot{}, dotAt(0))},
		{"update", count(a, 2, dotAt(0), dotAt(1))},
		{"update-remove", ops(2, replica.Op{Key: "an", Remove: true}, replica.Op{Key: strings.Repeat("n", maxName), Value: replica.Value{Bytes: []byte{}}})},
		{"update-packed", ops(3, replica.Op{Key: "atext", Value: replica.Value{Bytes: text}})},
		{"update-patch", ops(4, replica.Op{Key: "atext", Value: replica.Value{Bytes: edited}, Old: replica.Value{Bytes: text}})},
		{"update-map", ops(5, replica.Op{Key: "a", Value: replica.Value{Map: map[string][]byte{"n": {1}, "m": {2}}}})},
		{"update-map-packed", ops(6, replica.Op{Key: "a", Value: replica.Value{Map: map[string][]byte{"n": {1}, "t": text}}})},
		{"update-map-patch", ops(7, replica.Op{
			Key: "a", Value: replica.Value{Map: map[string][]byte{"n": {2}, "t": edited, "s": text[:50]}},
			Old: replica.Value{Map: map[string][]byte{"n": {1}, "t": text, "s": text[:50], "gone": {1}}},
		})},
		{"update-dead", dead},
		{"update-renamed", renamed},
		{"copy", replica.Copy{Reign: reign, State: state(), Sets: sets, Idle: 1500 * time.Millisecond}},
		{"copy-packed", replica.Copy{Reign: reign, State: large}},
		{"touch", replica.Touch{ID: a, Reign: reign}},
		{"ack", replica.Ack{ID: a, Reign: reign, Dot: dotAt(9), Sum: 0x0123456789abcdef}},
		{"fenced", replica.Fenced{ID: a, Reign: replica.Reign{Epoch: 2, Home: 3}}},
		{"need", replica.Need{ID: "a short id"}},
		{"claim", replica.Claim{ID: a, Reign: replica.Reign{Epoch: 2, Home: 3}, Nodes: []replica.NodeID{3, 4}, Former: 1, Sum: 99}},
		{"promise", replica.Promise{ID: b, Reign: reign, State: state(), Sets: sets, Alive: 1, Idle: time.Second}},
		{"promise-same", replica.Promise{ID: b, Reign: reign, Same: true}},
		{"grant", replica.Grant{Reign: reign, State: state(), Idle: time.Second}},
		{"ask", replica.Ask{ID: testID(9)}},
		{"who-has", replica.WhoHas{ID: testID(9)}},
		{"has", replica.Has{ID: testID(9), Reign: reign}},
		{"release", replica.Release{ID: a, Reign: reign, Heads: []replica.Dot{dotAt(9), {Epoch: 1, Node: 2, Clock: 3}}}},
		{"homes", replica.Homes{Entries: []replica.Has{{ID: a, Reign: reign}}}},
		{"digest", replica.Digest{Sums: []uint64{1, 2}}},
		{"listing", replica.Listing{Segments: []int{3, 63}, Entries: []replica.Fingerprint{{ID: a, Sum: 1}}}},
		{"level", replica.Level{Ask: true}},
	}
}

// TestMessagesGolden holds the format: the bytes of each message in a batch of
// its own. Compressed ones may differ (the library may learn to do better), but
// what was written once must be readable.
func TestMessagesGolden(t *testing.T) {
	const file = "messages.txt"
	messages := goldenMessages()
	seen := map[kind]bool{kindAcks: true} // TestAcksGolden
	enc, _ := NewLane()
	enc.pause = len(messages) // do not compress batches
	var lines []string
	for _, c := range messages {
		it := NewItem(0xa11ce, 5, c.m, false)
		seen[it.kind] = true
		lines = append(lines, fmt.Sprintf("%-17s %s", c.name, hex.EncodeToString(enc.AppendBatch(nil, []*Item{it}))))
	}
	for k := kind(1); k < kindEnd; k++ {
		if !seen[k] {
			t.Errorf("no message of kind %d", k)
		}
	}
	if *update {
		golden(t, file, lines)
	}
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(want) != len(lines) {
		t.Fatalf("%d messages, the file has %d", len(lines), len(want))
	}
	_, dec := NewLane()
	for i, c := range messages {
		name, bytes, _ := strings.Cut(want[i], " ")
		if want[i] != lines[i] && !strings.Contains(name, "packed") {
			t.Errorf("the bytes have changed, which makes a new version of the format:\n%s\nbefore\n%s", lines[i], want[i])
		}
		b, err := hex.DecodeString(strings.TrimSpace(bytes))
		if err != nil {
			t.Fatal(err)
		}
		got := collect(t, dec, b)
		if len(got) != 1 || got[0].app != 0xa11ce || got[0].shard != 5 {
			t.Fatalf("%s: %v", name, got)
		}
		if g, w := resolved(t, got[0].m, c.m), describe(c.m); g != w {
			t.Errorf("%s\n got %s\nwant %s", name, g, w)
		}
	}
}

func TestAcksGolden(t *testing.T) {
	var acked uint64
	var lines []string
	for _, numbers := range [][]uint64{{0}, {1, 2, 3}, {4, 6, 7, 300}, {5}} {
		was := fmt.Sprint(numbers)
		lines = append(lines, fmt.Sprintf("%-13s %s", was, hex.EncodeToString(appendAckRanges(nil, &acked, slices.Clone(numbers)))))
	}
	golden(t, "acks.txt", lines)
}

// TestBulkGolden reads a compressed batch that was written once.
func TestBulkGolden(t *testing.T) {
	const file = "testdata/bulk.txt"
	text := bytes.Repeat([]byte("all that a customer has put into the cart; "), 60)
	s := &replica.State{ID: testID(1)}
	s.Write(dotAt(42), []replica.Op{{Key: "atext", Value: replica.Value{Bytes: text}}})
	m := replica.Copy{Reign: replica.Reign{Epoch: 1, Home: 2}, State: s}
	if *update {
		enc, _ := NewLane()
		b := enc.AppendBatch(nil, []*Item{NewItem(1, 2, m, true)})
		if err := os.WriteFile(file, []byte(hex.EncodeToString(b)+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if b[0] != Version|flagZstd {
		t.Errorf("the batch begins with %#x", b[0])
	}
	_, dec := NewLane()
	if got := collect(t, dec, b); len(got) != 1 || describe(got[0].m) != describe(m) {
		t.Errorf("got %v", got)
	}
}
