package transport

// giveWay lets other processes run for which a bulk lane, without a lock in its hand, calls
// it. One lane does at a time: with two processors the second one is there for live messages.
func (t *Transport) giveWay() {
	if t.polite.CompareAndSwap(false, true) {
		yieldProcessor()
		t.polite.Store(false)
	}
}
