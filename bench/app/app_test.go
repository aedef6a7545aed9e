package bench

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The texts are those of the Java application for the same seeds.
func TestProse(t *testing.T) {
	tests := []struct {
		seed uint64
		want string
	}{
		{0, "machine running trail jacket classic rec"},
		{1001, "days fibres everyday recycled seven edit"},
		{7, "rated breathable reinforced blue breatha"},
	}
	for _, tt := range tests {
		if got := prose(tt.seed, len(tt.want)); got != tt.want {
			t.Errorf("prose(%d) = %q, want %q", tt.seed, got, tt.want)
		}
	}
	if got := fmt.Sprintf("%x", crc32.ChecksumIEEE([]byte(prose(1, 190)))); got != "fd70aba4" {
		t.Errorf("checksum of prose(1, 190) = %s, want that of the Java application", got)
	}
}

// loadSum is how the load generator computes a cart's sum from its version.
func loadSum(version, items int64) int64 {
	var s, seen int64
	for x := version; x >= 1 && seen < items; x-- {
		s += x * ((x*7919)%items + 1)
		seen++
	}
	if seen < items {
		all := items * (items + 1) / 2
		for x := int64(1); x <= seen; x++ {
			all -= (x*7919)%items + 1
		}
		s += all
	}
	return s
}

func TestCartSum(t *testing.T) {
	for _, size := range []int{0, 256, 4096, 16384, 65536} {
		c := newCart(size)
		for range 300 {
			c.touch()
			if got, want := c.sum(), loadSum(int64(c.Version), int64(len(c.Items))); got != want {
				t.Fatalf("size %d, version %d: sum %d, the load generator wants %d", size, c.Version, got, want)
			}
		}
	}
}

func TestHello(t *testing.T) {
	w := httptest.NewRecorder()
	hello(w, httptest.NewRequest(http.MethodGet, "/hello", nil))
	if w.Body.String() != "hello\n" || w.Header().Get("Content-Type") != "text/plain;charset=UTF-8" {
		t.Errorf("body %q, type %q", w.Body, w.Header().Get("Content-Type"))
	}
}

func TestBadParameters(t *testing.T) {
	for _, target := range []string{"/cart?size=x", "/cart?size=99999999999", "/cart?touch=1e3"} {
		w := httptest.NewRecorder()
		cart(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != 400 {
			t.Errorf("%s: status %d, want 400", target, w.Code)
		}
	}
}
