package model

import (
	"maps"
	"slices"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// link returns the link between two hosts. The links of some hosts are really
// encoded, in both directions, for acknowledgements refer to what went the other
// way.
func (c *cluster) link(h, p *host) *link {
	key := [2]int{h.index, p.index}
	if l := c.links[key]; l != nil {
		return l
	}
	there, back := &link{}, &link{}
	if min(h.index, p.index) < sampled {
		there.out, back.in = wire.NewLane()
		back.out, there.in = wire.NewLane()
	}
	c.links[key], c.links[[2]int{p.index, h.index}] = there, back
	return there
}

// encode returns how many bytes a batch has, with what the layers below add. The
// bytes are shared out among the messages by their own sizes, to know the kinds.
func (c *cluster) encode(l *link, list []replica.Message) float64 {
	if l.out == nil {
		return c.guess(list)
	}
	items := make([]*wire.Item, len(list))
	weight := 0.0
	for i, m := range list {
		items[i] = c.item(m)
		weight += own(items[i])
	}
	b := l.out.AppendBatch(nil, items)
	// The reader's tables keep in step, and it is seen that all is legible.
	if err := l.in.Batch(b, func(uint32, uint8, replica.Message) error { return nil }); err != nil {
		panic("model: " + err.Error())
	}
	for i, m := range list {
		s := c.sizes[kind(m)]
		if s == nil {
			s = &size{}
			c.sizes[kind(m)] = s
		}
		s.count++
		s.bytes += float64(len(b)) * own(items[i]) / weight
	}
	return float64(len(b) + c.packets(len(b))*c.o.Costs.Packet)
}

// own is an item's share of a batch's weight: without what a queue adds.
func own(it *wire.Item) float64 { return float64(max(1, it.Size()-310)) }

// payload is how much of a batch a packet carries.
const payload = 1200

func (c *cluster) packets(bytes int) int { return 1 + bytes/payload }

// item encodes a message, an update once for all peers.
func (c *cluster) item(m replica.Message) *wire.Item {
	u, ok := m.(*replica.Update)
	if !ok {
		_, bulk := m.(replica.Copy)
		return wire.NewItem(1, 0, m, bulk)
	}
	if u != c.encoded.update {
		c.encoded.update, c.encoded.item = u, wire.NewItem(1, 0, m, false)
	}
	return c.encoded.item
}

// guess is what a batch that is not encoded is taken to have.
func (c *cluster) guess(list []replica.Message) float64 {
	bytes := 1.0
	for _, m := range list {
		bytes += c.mean(kind(m))
	}
	return bytes + float64(c.packets(int(bytes))*c.o.Costs.Packet)
}

func (c *cluster) mean(kind string) float64 {
	if s := c.sizes[kind]; s != nil {
		return s.bytes / s.count
	}
	return 40 // of no kind that was seen so far
}

// bytes are those of all messages that were counted.
func (c *cluster) bytes() float64 {
	sum := float64(c.count.batches * c.o.Costs.Packet)
	// In one order, for sums of fractions depend on it.
	for _, k := range slices.Sorted(maps.Keys(c.count.messages)) {
		sum += float64(c.count.messages[k]) * c.mean(k)
	}
	return sum
}

func (c *cluster) messages() (sum int) {
	for _, n := range c.count.messages {
		sum += n
	}
	return sum
}
