package static

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestParseRange ports Tomcat's TestDefaultServletRangeRequests, on 100 bytes.
func TestParseRange(t *testing.T) {
	all := func(r ...byteRange) []byteRange { return r }
	for _, tt := range []struct {
		header string
		want   []byteRange
		answer rangeAnswer
	}{
		{"bytes=0-9", all(byteRange{0, 10}), rangeParts},
		{"bytes=-20", all(byteRange{80, 20}), rangeParts},
		{"bytes=80-", all(byteRange{80, 20}), rangeParts},
		{"bytes=90-110", all(byteRange{90, 10}), rangeParts},
		{"bytes=-1000", all(byteRange{0, 100}), rangeParts},
		{"bytes=99-99", all(byteRange{99, 1}), rangeParts},
		{"bytes=0-9,20-29", all(byteRange{0, 10}, byteRange{20, 10}), rangeParts},
		{"BYTES= 0-9 , 20-29 ", all(byteRange{0, 10}, byteRange{20, 10}), rangeParts},
		{"bytes=20-29,0-9", all(byteRange{20, 10}, byteRange{0, 10}), rangeParts},
		{"bytes=0-9,", all(byteRange{0, 10}), rangeParts},
		{"bytes=0-9,200-300", all(byteRange{0, 10}), rangeParts},
		{"bytes=0-99999999999999999999999999", all(byteRange{0, 100}), rangeParts},
		{"bytes=-99999999999999999999999999", all(byteRange{0, 100}), rangeParts},
		{"bytes=0-10,5-20", all(byteRange{0, 11}, byteRange{5, 16}), rangeParts},
		{"bytes=0-10,5-20,15-30", all(byteRange{0, 11}, byteRange{5, 16}, byteRange{15, 16}), rangeParts}, // two overlaps
		{"bytes=0-10,5-20,15-30,25-40", nil, rangeBad},                                                    // three
		{"bytes=0-10,0-10,0-10", nil, rangeBad},
		{"bytes=" + strings.Repeat("0-0,", 500), nil, rangeBad},
		{"bytes=100-", nil, rangeBad},
		{"bytes=100-200,300-", nil, rangeBad},
		{"bytes=-0", nil, rangeBad},
		{"bytes=9-0", nil, rangeBad},
		{"bytes=0-9,9-0", nil, rangeBad},
		{"bytes=", nil, rangeBad},
		{"bytes=,", nil, rangeBad},
		{"bytes", nil, rangeBad},
		{"", nil, rangeBad},
		{"=0-9", nil, rangeBad},
		{"by tes=0-9", nil, rangeBad},
		{"bytes=a-b", nil, rangeBad},
		{"bytes=0x1-0x2", nil, rangeBad},
		{"bytes=1 - 2", nil, rangeBad},
		{"bytes=+1-2", nil, rangeBad},
		{"bytes=-", nil, rangeBad},
		{"bytes=1", nil, rangeBad},
		{"bytes=1-2-3", nil, rangeBad},
		{"bytes=0-4;10-14", nil, rangeBad},
		{"items=0-9", nil, rangeWhole},
		{"unknown=whatever", nil, rangeWhole},
	} {
		got, answer := parseRange(tt.header, 100)
		if answer != tt.answer || !slices.Equal(got, tt.want) {
			t.Errorf("parseRange(%q) = %v, %v; want %v, %v", tt.header, got, answer, tt.want, tt.answer)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-9,20-", "bytes=-5", "bytes=0-10,5-20,15-30", "items=1", "bytes=18446744073709551615-"} {
		f.Add(s, int64(100))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size <= 0 {
			return
		}
		ranges, answer := parseRange(header, size)
		if (answer == rangeParts) != (len(ranges) > 0) {
			t.Fatalf("%q: %d ranges and %v", header, len(ranges), answer)
		}
		for _, r := range ranges {
			if r.start < 0 || r.length < 1 || r.length > size-r.start {
				t.Errorf("%q of %d: range %+v is not inside", header, size, r)
			}
		}
	})
}

// TestOverlaps compares the count with one of all pairs.
func TestOverlaps(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		ranges := make([]byteRange, rnd.IntN(6))
		for i := range ranges {
			ranges[i] = byteRange{rnd.Int64N(20), 1 + rnd.Int64N(5)}
		}
		pairs := 0
		for i, a := range ranges {
			for _, b := range ranges[i+1:] {
				if a.start < b.end() && b.start < a.end() {
					pairs++
				}
			}
		}
		if got := overlaps(ranges); min(got, maxOverlaps+1) != min(pairs, maxOverlaps+1) {
			t.Fatalf("overlaps(%v) = %d, want %d", ranges, got, pairs)
		}
	}
}

func TestParseContentRange(t *testing.T) {
	if part, complete, ok := parseContentRange("bytes 2-4/10"); !ok || part != (byteRange{2, 3}) || complete != 10 {
		t.Errorf("bytes 2-4/10: %v %d %v", part, complete, ok)
	}
	for _, s := range []string{"", "bytes", "bytes 2-4", "bytes 2-4/*", "bytes */10", "bytes 4-2/10", "items 2-4/10", "bytes=2-4/10", "bytes 2-10/10", "bytes -1-3/10", "bytes 0-2/2", "bytes 2-4/10/11", "bytes a-b/c"} {
		if _, _, ok := parseContentRange(s); ok {
			t.Errorf("parseContentRange(%q): accepted", s)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 2-4/10")
	f.Add("bytes 0-0/99999999999999999999")
	f.Fuzz(func(t *testing.T, s string) {
		part, complete, ok := parseContentRange(s)
		if ok && (part.start < 0 || part.length < 1 || part.start > complete-part.length) {
			t.Errorf("%q: %+v of %d", s, part, complete)
		}
	})
}
