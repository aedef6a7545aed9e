// Package rig is what the measurements of this folder stand on: it builds the
// server, the load generator and the peers in a folder that goes away at the end,
// starts clusters by the scripts that Serval and Tomcat have in common, runs load
// against them, and reads what the kernel knows of processes and packets.
//
// It needs ../shared beside the project (or $SERVAL_SHARED): the load generator
// and the scripts are there, so that all competitors get the same.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Rig is what all measurements of one command share.
type Rig struct {
	Root   string // of the module
	Shared string // a copy of ../shared/bench, to build in
	Tmp    string // goes away with Close
	Serval string // the programs
	Load   string
	// Counter says that the kernel counts the bytes between nodes (root and nft).
	Counter bool

	began time.Time
}

// New builds the server and the load generator, and lets the kernel count the bytes
// between nodes if it can. Close removes what it has made.
func New(ctx context.Context) (*Rig, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	from := os.Getenv("SERVAL_SHARED")
	if from == "" {
		from = filepath.Join(root, "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(from, "bench", "load")); err != nil {
		return nil, fmt.Errorf("the load generator is missing: %w (set SERVAL_SHARED to the folder that has bench/load)", err)
	}
	tmp, err := os.MkdirTemp("", "serval-bench-")
	if err != nil {
		return nil, err
	}
	r := &Rig{Root: root, Tmp: tmp, Shared: filepath.Join(tmp, "shared"), began: time.Now()}
	if err := r.prepare(ctx, filepath.Join(from, "bench")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	r.Counter = countBytes(ctx) == nil
	return r, nil
}

func (r *Rig) prepare(ctx context.Context, from string) (err error) {
	// Copied, because its programs are built where they lie.
	if err := os.CopyFS(r.Shared, os.DirFS(from)); err != nil {
		return err
	}
	scripts, err := filepath.Glob(filepath.Join(r.Shared, "*.sh"))
	if err != nil {
		return err
	}
	for _, s := range append(scripts, filepath.Join(r.Shared, "app", "build.sh")) {
		if err := os.Chmod(s, 0o755); err != nil {
			return err
		}
	}
	if r.Serval, err = r.Build(ctx, r.Root, "serval"); err != nil {
		return err
	}
	r.Load, err = r.Build(ctx, filepath.Join(r.Shared, "load"), "load")
	return err
}

// Build compiles the program of a folder and returns its file.
func (r *Rig) Build(ctx context.Context, dir, name string) (string, error) {
	r.Progress("building %s", name)
	out := filepath.Join(r.Tmp, name)
	c := exec.CommandContext(ctx, "go", "build", "-o", out, ".")
	c.Dir, c.Stderr = dir, os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return out, nil
}

// Close removes the folder and the kernel's counters.
func (r *Rig) Close() {
	if r.Counter {
		_ = exec.Command("nft", "delete", "table", "inet", "bench").Run()
	}
	_ = os.RemoveAll(r.Tmp)
}

// Progress tells a person where the run is.
func (r *Rig) Progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7s  %s\n", time.Since(r.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// Sleep waits; false if the context ended before.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// WaitFor waits until a URL answers 200.
func WaitFor(ctx context.Context, url string, limit time.Duration) error {
	began := time.Now()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Since(began) < limit {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if !Sleep(ctx, 2*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s did not answer 200 within %s", url, limit)
}

// WaitPort waits until something listens.
func WaitPort(ctx context.Context, address string, limit time.Duration) error {
	var d net.Dialer
	for began := time.Now(); time.Since(began) < limit; {
		if c, err := d.DialContext(ctx, "tcp", address); err == nil {
			return c.Close()
		}
		if !Sleep(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("nothing listens on %s after %s", address, limit)
}

// countBytes lets the kernel count the IP bytes between nodes, which the load
// generator reads: the clusters' ports by TCP and UDP, and Redis in both directions.
func countBytes(ctx context.Context) error {
	_ = exec.CommandContext(ctx, "nft", "delete", "table", "inet", "bench").Run() // of a run that was killed
	for _, rule := range []string{
		"add table inet bench", "add counter inet bench wire",
		"add chain inet bench out { type filter hook output priority 0; }",
		"add rule inet bench out tcp dport 14001-14009 counter name wire",
		"add rule inet bench out tcp sport 14001-14009 counter name wire",
		"add rule inet bench out udp dport 14001-14009 counter name wire",
		"add rule inet bench out tcp dport 19190 counter name wire",
		"add rule inet bench out tcp sport 19190 counter name wire",
	} {
		if err := exec.CommandContext(ctx, "nft", rule).Run(); err != nil {
			return fmt.Errorf("nft %s: %w", rule, err)
		}
	}
	return nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("run this command inside the module")
	}
	return filepath.Dir(mod), nil
}
