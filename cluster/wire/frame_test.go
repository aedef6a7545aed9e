package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// frames are one of each type.
var frames = []Frame{
	Hello{MinVersion: 1, MaxVersion: 2, Node: 0xdeadbeef, Cluster: "shop", Name: "a", Zone: "east", Build: "0.3", Lanes: 4, Bulk: true, MaxBatch: 1 << 18},
	Apps{Apps: []App{{Number: 7, Key: "localhost/shop", Cache: "default", Versions: []string{"1", "2"}, Level: true}, {Number: 1 << 31, Key: "localhost", On: true, Run: 0xdeadbeef}}},
	Cache{Name: "default", Epoch: 3, By: 9, Mode: "DIST", Owners: 3, Ack: "quorum", AckTimeout: 2 * time.Second, OnTimeout: "fail", Misroute: "claim", Consistency: "strict"},
	Switch{App: "localhost/shop", Epoch: 4, By: 9, On: true},
	Credit{Bytes: 1 << 20},
	BatchAck{Lane: 3, Batches: 300},
	Ping{Seq: 5},
	Pong{Seq: 5},
	Leaving{Reason: "drained"},
	StatusQuery{Seq: 6},
	Status{Seq: 6, Body: []byte(`{"up":true}`)},
}

// golden compares lines of "name hex" with a file of testdata.
func golden(t *testing.T, file string, lines []string) {
	t.Helper()
	file = "testdata/" + file
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the bytes have changed, which makes a new version of the format; %s says\n%s\nnow\n%s", file, want, got)
	}
}

func TestFramesGolden(t *testing.T) {
	var lines []string
	seen := map[frameType]bool{}
	for _, f := range frames {
		lines = append(lines, fmt.Sprintf("%-11s %s", strings.TrimPrefix(fmt.Sprintf("%T", f), "wire."), hex.EncodeToString(AppendFrame(nil, f))))
		seen[f.frameType()] = true
	}
	for i, read := range frameReaders {
		if read != nil && !seen[frameType(i)] {
			t.Errorf("no frame of type %d", i)
		}
	}
	golden(t, "frames.txt", lines)
}

func TestFramesComeAsTheyWereSent(t *testing.T) {
	var stream []byte
	for i, f := range frames {
		stream = AppendFrame(stream, f)
		if i%2 == 0 {
			stream = append(stream, 0xff, 3, 1, 2, 3, 0, 0) // of types that are unknown here
		}
	}
	r, rest := bufio.NewReaderSize(bytes.NewReader(stream), 16), stream
	for _, want := range frames {
		got, err := ReadFrame(r)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		var parsed Frame
		for parsed == nil && err == nil {
			parsed, rest, err = ParseFrame(rest)
		}
		if !reflect.DeepEqual(parsed, want) {
			t.Errorf("parsed %+v, %v, want %+v", parsed, err, want)
		}
	}
	if _, err := ReadFrame(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestFramesGrow checks that fields of a later version are skipped.
func TestFramesGrow(t *testing.T) {
	for _, f := range frames {
		b := appendString([]byte{byte(f.frameType())}, append(f.appendPayload(nil), "later"...))
		if got, rest, err := ParseFrame(b); err != nil || len(rest) > 0 || !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v, %v, want %+v", got, err, f)
		}
	}
}

func TestFramesThatAreCut(t *testing.T) {
	for _, f := range frames {
		whole := AppendFrame(nil, f)
		for n := 1; n < len(whole); n++ {
			if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(whole[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%T of %d bytes: %v", f, n, err)
			}
			payload := f.appendPayload(nil)
			if n >= len(payload) {
				continue
			}
			_, _, err := ParseFrame(appendString([]byte{byte(f.frameType())}, payload[:n]))
			var bad *Error
			if !errors.As(err, &bad) || bad.Offset > n {
				t.Errorf("%T with %d bytes of payload: %v", f, n, err)
			}
		}
	}
	_, err := ReadFrame(bufio.NewReader(bytes.NewReader(appendUvarint([]byte{1}, MaxFrame+1))))
	if err == nil || !strings.Contains(err.Error(), "at most 4194304") {
		t.Errorf("a frame that is too long: %v", err)
	}
	if b := AppendFrame([]byte("x"), Status{Body: make([]byte, MaxFrame)}); string(b) != "x" {
		t.Errorf("a frame that is too long was written: %d bytes", len(b))
	}
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct{ minA, maxA, minB, maxB, want uint16 }{
		{1, 1, 1, 1, 1}, {1, 2, 2, 3, 2}, {2, 3, 1, 2, 2}, {1, 3, 1, 4, 3}, {1, 1, 2, 3, 0}, {3, 4, 1, 2, 0},
	} {
		got, err := Negotiate(Hello{MinVersion: c.minA, MaxVersion: c.maxA}, Hello{MinVersion: c.minB, MaxVersion: c.maxB})
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}
