package cli

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestProfilerRefusesOtherAddresses(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:6060", "[::]:6060", "192.0.2.1:6060", "example.org:6060", "6060", "localhost"} {
		p, err := startProfiler(addr, slog.New(slog.DiscardHandler))
		if err == nil {
			p.stop()
			t.Errorf("%s: no error", addr)
			continue
		}
		if !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: the error does not say what is allowed: %v", addr, err)
		}
	}
}

func TestProfilerServes(t *testing.T) {
	for _, addr := range []string{"localhost:0", ":0", "127.0.0.1:0"} {
		var b bytes.Buffer
		p, err := startProfiler(addr, slog.New(slog.NewTextHandler(&b, nil)))
		if err != nil {
			t.Fatal(err)
		}
		url := regexp.MustCompile(`http://\S+/`).FindString(b.String())
		resp, err := http.Get(url + "goroutine?debug=1")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Contains(body, []byte("goroutine profile")) {
			t.Errorf("%s: %s: %.100s %v", addr, url, body, err)
		}
		p.stop()
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: still served after stop", addr)
		}
	}
}
