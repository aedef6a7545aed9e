package replay

import (
	"fmt"
	"strings"
	"testing"
)

func TestAlign(t *testing.T) {
	tests := []struct{ want, got, diff string }{
		{"a b c", "a b c", ""},
		{"a b c", "a x c", "b/x"},
		{"a b c", "a c", "b/"},
		{"a c", "a b c", "/b"},
		{"", "a b", "/a /b"},
		{"a b c d", "c d a b", "a/ b/ /a /b"},
		{"a x y b", "a z b", "x/z y/"},
	}
	for _, tt := range tests {
		var diff []string
		for _, e := range align(strings.Fields(tt.want), strings.Fields(tt.got)) {
			if e[0] != e[1] {
				diff = append(diff, fmt.Sprintf("%s/%s", e[0], e[1]))
			}
		}
		if s := strings.Join(diff, " "); s != tt.diff {
			t.Errorf("%q to %q: %q, want %q", tt.want, tt.got, s, tt.diff)
		}
	}
}
