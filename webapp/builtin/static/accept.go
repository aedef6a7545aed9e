package static

import (
	"strconv"
	"strings"
)

// quality returns how welcome each of the codings is to a client that sent
// this Accept-Encoding, and how welcome the file as it is (RFC 9110 §12.5.3):
// 0 is not at all. Names are compared without case, x-gzip is gzip (§8.4.1.3);
// a member that is not well-formed counts as if it were not there, and a
// quality above 1 is 1.
func quality(header string, codings []Coding) (q []float64, identity float64) {
	q = make([]float64, len(codings))
	named := make([]bool, len(codings))
	identity, star := -1.0, -1.0
	for member := range strings.SplitSeq(header, ",") {
		name, weight, ok := parseCoding(member)
		if !ok {
			continue
		}
		switch name {
		case "*":
			star = weight
		case "identity":
			identity = weight
		default:
			for i, c := range codings {
				if c.Name == name {
					q[i], named[i] = weight, true
				}
			}
		}
	}
	for i := range q {
		if !named[i] && star >= 0 {
			q[i] = star
		}
	}
	// Without a word about it the file as it is is acceptable, but anything
	// that is asked for by name is welcomer.
	if identity < 0 {
		identity = 0
	}
	return q, identity
}

// parseCoding reads "name ; q=0.5"; other parameters are ignored.
func parseCoding(member string) (name string, weight float64, ok bool) {
	name, params, _ := strings.Cut(member, ";")
	name = strings.ToLower(strings.Trim(name, " \t"))
	if !isToken(name) {
		return "", 0, false
	}
	if name == "x-gzip" {
		name = "gzip"
	}
	weight = 1
	for p := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.Trim(key, " \t"), "q") {
			continue
		}
		f, err := strconv.ParseFloat(strings.Trim(value, " \t"), 64)
		if err != nil || f < 0 || f != f {
			return "", 0, false
		}
		weight = min(f, 1)
	}
	return name, weight, true
}

// choose returns the index of the coding to send, or -1 for the file as it
// is. Only codings that exist count; of equals the earlier wins, and any of
// them wins against the file as it is.
func choose(header string, codings []Coding, exists func(int) bool) int {
	q, identity := quality(header, codings)
	best, bestQ := -1, 0.0
	for i := range codings {
		if q[i] > bestQ && q[i] >= identity && exists(i) {
			best, bestQ = i, q[i]
		}
	}
	return best
}
