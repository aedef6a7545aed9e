package stricttoml

import "strings"

// Nearest returns the candidate that the name was most likely meant to be, or ""
// if none is close: at most a third of the letters may differ (a swap of
// neighbours counts as one), and case, "-" and "_" do not count.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)
	n := fold(name)
	for _, c := range candidates {
		d := distance(n, fold(c))
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if bestDistance > max(1, max(len(n), len(best))/3) {
		return ""
	}
	return best
}

func fold(s string) string {
	if len(s) > 64 { // no key is that long, and the comparison is quadratic
		s = s[:64]
	}
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
}

// distance is the restricted Damerau-Levenshtein distance.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
