package static

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// byteRange is length bytes from start.
type byteRange struct{ start, length int64 }

func (b byteRange) end() int64 { return b.start + b.length }

// contentRange is the value of Content-Range for a part of size bytes.
func (b byteRange) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", b.start, b.end()-1, size)
}

// Limits of one Range header. RFC 9110 §14.2 allows to refuse more than two
// ranges that overlap and many small ones; §17.15 says why one should.
const (
	maxRanges   = 200
	maxOverlaps = 2 // pairs of ranges, as Tomcat counts (tomcat.md F5)
)

// rangeAnswer is what a Range header asks for.
type rangeAnswer int

const (
	rangeWhole rangeAnswer = iota // the header is to be ignored: 200
	rangeParts                    // 206
	rangeBad                      // 416
)

// parseRange reads the value of a Range header for a representation of size
// bytes (RFC 9110 §14.1.1, §14.2). An unknown unit is ignored. What is not
// well-formed, what can be satisfied by no byte, and what overlaps too much is
// bad. A range that reaches beyond the end is cut there; one that lies beyond
// is left out if another can be satisfied.
func parseRange(header string, size int64) ([]byteRange, rangeAnswer) {
	unit, set, ok := strings.Cut(header, "=")
	unit = strings.Trim(unit, " \t")
	if !ok || !isToken(unit) {
		return nil, rangeBad
	}
	if !strings.EqualFold(unit, "bytes") {
		return nil, rangeWhole
	}
	var ranges []byteRange
	seen := 0
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" { // empty list elements are allowed (RFC 9110 §5.6.1.2)
			continue
		}
		if seen++; seen > maxRanges {
			return nil, rangeBad
		}
		r, ok := parseSpec(spec, size)
		if !ok {
			return nil, rangeBad
		}
		if r.length > 0 {
			ranges = append(ranges, r)
		}
	}
	if len(ranges) == 0 || overlaps(ranges) > maxOverlaps {
		return nil, rangeBad
	}
	return ranges, rangeParts
}

// parseSpec reads first-last, first- or -suffix. A range that cannot be
// satisfied has the length 0; false is for one that is not well-formed.
func parseSpec(spec string, size int64) (byteRange, bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return byteRange{}, false
	}
	if first == "" {
		n, ok := parseDigits(last)
		if !ok {
			return byteRange{}, false
		}
		n = min(n, size)
		return byteRange{size - n, n}, true
	}
	start, ok := parseDigits(first)
	if !ok {
		return byteRange{}, false
	}
	end := int64(math.MaxInt64)
	if last != "" {
		if end, ok = parseDigits(last); !ok || end < start {
			return byteRange{}, false
		}
	}
	if start >= size {
		return byteRange{}, true
	}
	return byteRange{start, min(end, size-1) - start + 1}, true
}

// parseDigits reads 1*DIGIT. A number too large for the machine is the largest
// there is, as RFC 9110 §14.1.1 wants no overflow.
func parseDigits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// overlaps counts the pairs of ranges that have bytes in common, up to one
// more than is allowed.
func overlaps(ranges []byteRange) int {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b byteRange) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
	var open []byteRange // those that began before and may still cover
	n := 0
	for _, r := range sorted {
		open = slices.DeleteFunc(open, func(o byteRange) bool { return o.end() <= r.start })
		if n += len(open); n > maxOverlaps {
			return n
		}
		open = append(open, r)
	}
	return n
}

// parseContentRange reads the Content-Range of a partial PUT (RFC 9110 §14.4):
// "bytes first-last/complete", all three given.
func parseContentRange(header string) (part byteRange, complete int64, ok bool) {
	unit, rest, ok := strings.Cut(strings.Trim(header, " \t"), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return part, 0, false
	}
	span, total, ok := strings.Cut(strings.Trim(rest, " \t"), "/")
	if !ok {
		return part, 0, false
	}
	first, last, ok := strings.Cut(span, "-")
	start, ok1 := parseDigits(first)
	end, ok2 := parseDigits(last)
	complete, ok3 := parseDigits(total)
	if !ok || !ok1 || !ok2 || !ok3 || end < start || end >= complete {
		return part, 0, false
	}
	return byteRange{start, end - start + 1}, complete, true
}
