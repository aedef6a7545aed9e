package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/runtime/worker/conformance"
)

// TestSecondGuest runs a module written in C, so that the guest interface is
// known to be what its specification says and not what the Go SDK does.
func TestSecondGuest(t *testing.T) {
	clang, err := exec.LookPath("clang")
	if err == nil {
		_, err = exec.LookPath("wasm-ld")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs clang and lld (Debian: apt install clang lld):", err)
	}
	dir := t.TempDir()
	web := filepath.Join(dir, "WEB-INF")
	if err := os.Mkdir(web, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(clang, "--target=wasm32", "-O2", "-Wall", "-Werror", "-nostdlib", "-Wl,--no-entry",
		"-o", filepath.Join(web, "app.wasm"), "testdata/guest.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	exe, err := wasmWorker()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Protocol", func(t *testing.T) {
		conformance.Run(t, conformance.Command(exe, filepath.Join(web, "app.wasm")))
	})
	a := startWith(t, os.DirFS(dir), dir, descriptor.Runtime{}, Options{WasmCommand: []string{exe}}, "hello", "count", "read")
	a.want("/hello", 200, "hello from C")
	_, first, cookie := a.do("GET", "/count", "", "")
	for want := range 30 { // into numbers of two bytes
		if _, n, _ := a.do("GET", "/count", "", cookie); first != "1" || len(n) == 0 || want == 29 && n != "31" {
			t.Fatalf("counted %q, then %q", first, n)
		}
	}
	for _, n := range []int{0, 10, 20_000, 500_000} {
		if c, b, _ := a.do("POST", "/read", strings.Repeat("x", n), ""); c != 200 || b != itoa(n) {
			t.Errorf("read %q of %d bytes, status %d", b, n, c)
		}
	}
}
