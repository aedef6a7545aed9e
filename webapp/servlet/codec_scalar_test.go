package servlet

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

// Scalars take a way of their own through the codec. What they are encoded as and
// what they decode to must be what the general way gives.
func TestScalarsAreEncodedAsByTheGeneralWay(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 70000))
	for _, v := range []any{
		0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxInt32, math.MaxInt64, -1, -24, -25, -256, -257, math.MinInt64,
		int64(-5), int64(1 << 40), int32(-70000), uint(7), uint64(math.MaxUint64), uint32(math.MaxUint32),
		true, false, "", "é", "a\xffb", long, []byte{}, []byte{1, 2}, []byte(long), []byte(nil),
		3.5, uint8(4), nil,
	} {
		want, err := encMode.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encode(v)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T %.40v: got % x, want % x (%v)", v, v, got[:min(20, len(got))], want[:min(20, len(want))], err)
		}
	}
}

func decodesAlike[T any](t *testing.T, data []byte) {
	t.Helper()
	var fast, general T
	if !decodeScalar(data, &fast) {
		return // the general way decides
	}
	if err := decMode.Unmarshal(data, &general); err != nil || !reflect.DeepEqual(fast, general) {
		t.Errorf("% x as %T: got %v, want %v (%v)", data, fast, fast, general, err)
	}
}

func FuzzDecodeScalar(f *testing.F) {
	for _, v := range []any{0, -1, 1 << 40, "text", []byte("bytes"), true, 2.5, map[string]int{"a": 1}} {
		b, err := encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x18})
	f.Fuzz(func(t *testing.T, data []byte) {
		decodesAlike[int](t, data)
		decodesAlike[int64](t, data)
		decodesAlike[bool](t, data)
		decodesAlike[string](t, data)
		decodesAlike[[]byte](t, data)
	})
}
