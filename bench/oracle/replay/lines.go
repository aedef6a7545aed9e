package replay

import "slices"

// logs compares two event logs and gives each line that differs as a
// difference of its own: one that is missing has no got, one too many no want.
// Lines between the same neighbours are taken as each other's counterpart.
func (k *Case) logs(want, got []string) {
	for _, e := range align(want, got) {
		if e[0] != e[1] {
			k.text("log", e[0], e[1])
		}
	}
}

// align pairs the lines of a longest common subsequence, and what lies between
// them one by one.
func align(want, got []string) [][2]string {
	// length[i][j] is that of the longest common subsequence of want[i:] and got[j:].
	length := make([][]int, len(want)+1)
	for i := range length {
		length[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out [][2]string
	var missing, extra []string
	flush := func() {
		for i := range max(len(missing), len(extra)) {
			out = append(out, [2]string{at(missing, i), at(extra, i)})
		}
		missing, extra = nil, nil
	}
	i, j := 0, 0
	for i < len(want) && j < len(got) {
		switch {
		case want[i] == got[j]:
			flush()
			out = append(out, [2]string{want[i], got[j]})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			missing = append(missing, want[i])
			i++
		default:
			extra = append(extra, got[j])
			j++
		}
	}
	missing, extra = slices.Concat(missing, want[i:]), slices.Concat(extra, got[j:])
	flush()
	return out
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}
