package transport

import (
	"fmt"
	"testing"

	"github.com/serval-server/serval/cluster/replica"
)

// BenchmarkMessages sends updates from one node to another on loopback, both in
// this process; each of so many sessions waits for its acknowledgement before
// its next one. bench/transport measures two processes.
func BenchmarkMessages(b *testing.B) {
	for _, writers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			acked := make([]chan struct{}, writers)
			who := map[replica.SessionID]int{}
			for i := range acked {
				acked[i] = make(chan struct{}, 1)
				who[sessionID(i)] = i
			}
			x, _ := pair(b, func(c *Config, n *node) {
				n.receive = func(from replica.NodeID, m replica.Message) {
					switch m := m.(type) {
					case *replica.Update:
						n.Send(from, ackOf(m, 0))
					case replica.Ack:
						acked[who[m.ID]] <- struct{}{}
					}
				}
			})
			value := make([]byte, 20)
			next := make([]int, writers)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				w := i % writers
				if i++; i > writers {
					<-acked[w]
				}
				next[w]++
				x.Send(2, item(1, w, next[w], value))
			}
			for w := range min(i, writers) {
				<-acked[w]
			}
			s := x.Stats().Peers[0]
			b.ReportMetric(float64(s.MessagesOut)/float64(max(s.BatchesOut, 1)), "msg/batch")
			b.ReportMetric(float64(s.BytesIn+s.BytesOut+28*(s.PacketsIn+s.PacketsOut))/float64(s.MessagesOut), "wirebytes/msg")
		})
	}
}
