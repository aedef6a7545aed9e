package cluster

import (
	"testing"
	"time"
)

// Promises 1 and 2: what was acknowledged survives the death of its home, and is
// seen behind any balancer.
func TestFailover(t *testing.T) {
	for _, ack := range []Ack{AckOne, AckQuorum, AckAll} {
		cluster(t, Cache{Ack: ack}, AppConfig{}, "a b c", func(w *world) {
			a, b, c := w.nodes["a"], w.nodes["b"], w.nodes["c"]
			id := a.set("", "n=1")
			b.want(id, "n=1")
			id = a.set(id, "n=2", "m=1")
			a.kill()
			start := time.Now()
			b.want(id, "m=1 n=2")
			if took := time.Since(start); took > time.Second {
				t.Errorf("served after %v", took)
			}
			c.want(id, "m=1 n=2")
			id = c.set(id, "n=3", "m")
			b.want(id, "n=3")
			w.level()
		})
	}
}
