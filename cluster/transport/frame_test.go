package transport

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/serval-server/serval/cluster/wire"
)

func appendFrame(b []byte, body string, gated, ack bool) []byte {
	var room [maxHead]byte
	return append(append(b, room[putHead(room[:], len(body), gated, ack):]...), body...)
}

func TestFrames(t *testing.T) {
	big := string(bytes.Repeat([]byte("x"), 3*keepBuffer))
	type frame struct {
		body       string
		gated, ack bool
	}
	want := []frame{{"", false, true}, {"a", true, false}, {"", false, false}, {big, true, true}, {"after", true, false}}
	var b []byte
	for _, f := range want {
		b = appendFrame(b, f.body, f.gated, f.ack)
	}
	if b[0] != ackOnly {
		t.Errorf("an acknowledgement alone is %x", b[:1])
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "halves": iotest.HalfReader(bytes.NewReader(b)), "bytes": iotest.OneByteReader(bytes.NewReader(b))} {
		f := frameReader{r: r, max: maxFrame}
		for i, w := range want {
			h, body, err := f.next()
			if err != nil || string(body) != w.body || h != (head{gated: w.gated, ack: w.ack}) {
				t.Fatalf("%s, frame %d: %+v, %d bytes, %v", name, i, h, len(body), err)
			}
		}
		if _, _, err := f.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v", name, err)
		}
		if len(f.buf) > keepBuffer {
			t.Errorf("%s: keeps %d bytes", name, len(f.buf))
		}
	}
	// A promise of much costs nothing.
	f := frameReader{r: bytes.NewReader(append(appendFrame(nil, big, true, false)[:5], "little"...)), max: maxFrame}
	if _, _, err := f.next(); !errors.Is(err, io.ErrUnexpectedEOF) || len(f.buf) > readBuffer {
		t.Errorf("cut off: %v, buffer of %d", err, len(f.buf))
	}
}

// FuzzFrames: what is read can be written again, byte for byte, and what is no
// frame ends in an error.
func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, "batch", true, true), "", false, true))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0x00})
	f.Add(appendFrame(nil, string(make([]byte, 70000)), true, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := frameReader{r: bytes.NewReader(b), max: 1 << 16}
		var again []byte
		for {
			h, body, err := r.next()
			if err != nil {
				break
			}
			if len(body) > r.max {
				t.Fatalf("body of %d bytes", len(body))
			}
			again = appendFrame(again, string(body), h.gated, h.ack)
		}
		// Lengths may be written longer than they have to be.
		if len(again) > len(b) {
			t.Errorf("%d bytes became %d", len(b), len(again))
		}
		if len(r.buf) > 4<<16 {
			t.Errorf("buffer of %d bytes", len(r.buf))
		}
	})
}

// FuzzTripHello: only what tripHello writes is read.
func FuzzTripHello(f *testing.F) {
	f.Add(tripHello(1, 2, 3))
	f.Add([]byte(wireHello))
	f.Fuzz(func(t *testing.T, b []byte) {
		from, to, num, err := readTripHello(bytes.NewReader(b))
		if err == nil && !bytes.Equal(tripHello(from, to, num), b[:wireSize]) {
			t.Errorf("%x became %d, %d, %d", b, from, to, num)
		}
	})
}

func TestQueue(t *testing.T) {
	var q queue
	one := func(n int) *wire.Item { return item(1, n, 1, nil) }
	var want []*wire.Item
	for i := range 3000 {
		it := one(i)
		want = append(want, it)
		q.add(it, 10)
	}
	ack := one(9999)
	q.addAck(ack, 7)
	if got, size := q.take(false, 100); len(got) != 1 || got[0] != ack || size != 7 {
		t.Errorf("acknowledgements alone: %d items of %d bytes", len(got), size)
	}
	q.addAck(ack, 7)
	if got, size := q.take(true, 5); len(got) != 2 || got[1] != want[0] || size != 17 {
		t.Errorf("an item that is too large: %d items of %d bytes", len(got), size)
	}
	for n := 1; n < 2002-2; n += 3 {
		got, size := q.take(true, 35)
		if len(got) != 3 || size != 30 || got[0] != want[n] || got[2] != want[n+2] {
			t.Fatalf("at %d: %d items of %d bytes", n, len(got), size)
		}
	}
	q.addAck(ack, 7)
	n, size := q.drop()
	if n != 3000-2002 || size != 10*n || q.len() != 0 {
		t.Errorf("dropped %d of %d bytes, left %d", n, size, q.len())
	}
	if got, _ := q.take(true, 100); len(got) != 1 || got[0] != ack || q.len() != 0 {
		t.Error("the acknowledgement was dropped")
	}
}
