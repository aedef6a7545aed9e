package transport

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/cluster/wire"
)

// inlineFrame is up to which size a frame is written by whoever has made it.
// quic-go copies it and returns; larger ones are left to the lane's writer, as
// Write waits for them to be packed.
const inlineFrame = 16 << 10

// yields is how often, after an acknowledgement, those whom it has woken are let
// run before the next batch is made. What they send goes into it; on an idle
// machine there is nobody to wait for. Measured by bench/transport: 28 % fewer
// bytes and CPU per message with 8 writers, 20 % less CPU with 32.
const yields = 2

// politeEvery is how many messages a bulk lane hands over before it lets others run,
// here and in other processes. Live messages and requests need several goroutines in turn,
// each of which would else wait until the runtime takes the processor from the bulk lanes,
// 10 ms later, or Linux from this process, 3 ms later.
const politeEvery = 8

// lane is one ordered stream of batches to and from a peer.
//
// Who may write is decided under mu by busy: the one who sets it encodes and
// writes without the lock. While the lane's reader hands a batch to the
// Handler nobody writes (receiving), so that what the batch caused leaves with
// its acknowledgement.
type lane struct {
	link   *link
	stream *quic.Stream
	window int // bytes of batches on the way; 0: one batch
	enc    *wire.Encoder
	dec    *wire.Decoder
	in     frameReader
	large  chan []byte   // frames for the writer; one at most, while busy
	work   chan struct{} // of a bulk lane: something waits for the writer

	mu        sync.Mutex
	queue     queue      // guarded by mu
	busy      bool       // guarded by mu
	receiving bool       // guarded by mu
	closed    bool       // guarded by mu
	owed      int        // guarded by mu: the peer's batches not yet acknowledged
	flight    []int      // guarded by mu: sizes of the batches on the way
	inFlight  int        // guarded by mu: their sum
	acked     uint64     // guarded by mu: how many batches the peer has acknowledged
	pause     pause      // guarded by mu
	counts    laneCounts // guarded by mu

	out []byte // the frame being built; of who is busy
}

// laneCounts is what a lane has done.
type laneCounts struct {
	messagesIn, messagesOut, batchesIn, batchesOut, payloadIn, payloadOut, dropped uint64
}

func newLane(l *link, s *quic.Stream, r io.Reader, window int) *lane {
	enc, dec := wire.NewLane()
	ln := &lane{
		link: l, stream: s, window: window, enc: enc, dec: dec,
		in:    frameReader{r: r, max: maxFrame},
		large: make(chan []byte, 1), work: make(chan struct{}, 1),
	}
	ln.pause.init(l.t.cfg.Pause, window, ln.resume)
	return ln
}

// send queues an item and writes it if nothing is in the way. Bulk is left to the
// writer: a batch of it takes milliseconds to encode, and who sends holds locks that
// requests wait for.
func (l *lane) send(it *wire.Item) {
	size := it.Size()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		l.counts.dropped++
		return
	case it.Ack():
		// A lagging peer still gets acknowledgements: they are no more than
		// what it has sent, and it may have stopped waiting for us.
		l.queue.addAck(it, size)
	case l.link.lagging.Load() || size > l.link.maxItem:
		l.counts.dropped++
		return
	default:
		l.queue.add(it, size)
	}
	if l.link.queued.Add(int64(size)) > int64(l.link.t.cfg.MaxQueue) {
		l.link.overflow()
		return
	}
	if l.window == 0 {
		l.pump()
		return
	}
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// pump writes what may be written. It is called and returns with mu held.
func (l *lane) pump() {
	for !l.busy && !l.receiving && !l.closed {
		gated := l.queue.len() > 0 && !l.pause.on && (len(l.flight) == 0 || l.inFlight < l.window)
		items, size := l.queue.take(gated, l.link.t.cfg.MaxBatch)
		owed := l.owed
		if len(items) == 0 && owed == 0 {
			return
		}
		l.link.queued.Add(-int64(size))
		l.owed = 0
		l.busy = true
		if gated {
			l.pause.count(len(items))
			l.flight = append(l.flight, size)
			l.inFlight += size
		}
		l.mu.Unlock()
		messages := len(items)
		frame := l.encode(items, gated, owed)
		size = len(frame)
		done := l.write(frame)
		l.mu.Lock()
		if messages > 0 {
			l.counts.messagesOut += uint64(messages)
			l.counts.batchesOut++
			l.counts.payloadOut += uint64(size)
		}
		if !done {
			return // the writer goes on from here
		}
		l.busy = false
	}
}

// encode makes the bytes of a batch and of the acknowledgements owed. Only who
// has set busy may call it.
func (l *lane) encode(items []*wire.Item, gated bool, owed int) []byte {
	const room = maxHead
	buf := append(l.out[:0], make([]byte, room)...)
	if len(items) > 0 {
		buf = l.enc.AppendBatch(buf, items)
		clear(items)
	}
	l.out = buf
	start := putHead(buf[:room], len(buf)-room, gated, owed > 0)
	if owed <= 1 {
		return buf[start:]
	}
	acks := make([]byte, owed-1, owed-1+len(buf)-start)
	for i := range acks {
		acks[i] = ackOnly
	}
	return append(acks, buf[start:]...)
}

// write writes a frame, or leaves it to the writer and returns false.
func (l *lane) write(frame []byte) bool {
	if len(frame) <= inlineFrame {
		err := l.stream.TryWriteAll(frame)
		if err == nil {
			return true
		}
		if !errors.Is(err, quic.ErrWouldBlock) {
			l.link.close(fmt.Errorf("writing a batch: %w", err))
			return true
		}
	}
	l.large <- frame // there is room: only who is busy gets here
	return false
}

// writer writes large frames, and begins the batches of a bulk lane.
func (l *lane) writer() {
	for {
		select {
		case <-l.link.ctx.Done():
			return
		case <-l.work:
			l.mu.Lock()
			l.pump()
			l.mu.Unlock()
		case frame := <-l.large:
			if _, err := l.stream.Write(frame); err != nil {
				l.link.close(fmt.Errorf("writing a batch: %w", err))
				return
			}
			l.mu.Lock()
			l.busy = false
			if cap(l.out) > 4*l.link.t.cfg.MaxBatch {
				l.out = nil
			}
			l.pump()
			l.mu.Unlock()
		}
	}
}

// reader takes what the peer sends on the lane, until the stream ends or makes
// no sense.
func (l *lane) reader() {
	err := l.read()
	if errors.Is(err, errMalformed) {
		l.link.t.malformed.Add(1)
	}
	l.link.close(fmt.Errorf("reading a batch: %w", err))
}

func (l *lane) read() error {
	h, id := l.link.t.h, l.link.id
	n := 0
	receive := func(app uint32, shard uint8, m replica.Message) error {
		if n++; l.window > 0 && n%politeEvery == 0 {
			runtime.Gosched()
			l.link.t.giveWay()
		}
		h.Receive(id, app, shard, m)
		return nil
	}
	for {
		head, body, err := l.in.next()
		if err != nil {
			return err
		}
		if err := l.begin(head); err != nil {
			return err
		}
		n = 0
		if len(body) > 0 {
			if err := l.dec.Batch(body, receive); err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			h.BatchEnd(id)
		}
		if head.ack {
			for range yields {
				runtime.Gosched()
			}
		}
		l.end(head, n, len(body))
	}
}

// begin takes a frame's head: an acknowledgement opens the gate, but what waits
// behind it leaves only when the frame's messages have been received.
func (l *lane) begin(h head) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.receiving = true
	if !h.ack {
		return nil
	}
	if len(l.flight) == 0 {
		return fmt.Errorf("%w: acknowledgement of a batch that was not sent", errMalformed)
	}
	l.inFlight -= l.flight[0]
	l.flight = append(l.flight[:0], l.flight[1:]...)
	l.acked++
	if l.link.lagging.Load() {
		l.link.nudge()
	}
	return nil
}

// end acknowledges the frame and sends on.
func (l *lane) end(h head, messages, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if messages > 0 {
		l.counts.messagesIn += uint64(messages)
		l.counts.batchesIn++
		l.counts.payloadIn += uint64(bytes)
	}
	l.receiving = false
	if h.gated {
		l.owed++
	}
	if h.ack {
		l.pause.begin(l.queue.len())
	}
	l.pump()
}

// resume ends a pause.
func (l *lane) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause.end(l.queue.len())
	l.pump()
}

// progress is how many batches the peer has acknowledged, and whether it has one
// to acknowledge.
func (l *lane) progress() (acked uint64, flying bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked, len(l.flight) > 0
}

// drained reports whether all that was sent is acknowledged and nothing waits.
func (l *lane) drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flight) == 0 && !l.busy && l.queue.len() == 0
}

// drop forgets what waits, but not acknowledgements.
func (l *lane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := l.queue.drop()
	l.counts.dropped += uint64(n)
	l.link.queued.Add(-int64(size))
}

// shut has nothing sent any more.
func (l *lane) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.queue = queue{}
	l.pause.stop()
}
