package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bench is what all measurements share: the programs, built once, in a folder that
// goes away at the end.
type bench struct {
	o                    options
	root, shared, tmp    string
	serval               string
	load, hello, goredis string
	counter              bool // nft counts the bytes between nodes
	began                time.Time
}

// prepare builds what the measurements need.
func prepare(ctx context.Context, o options) (*bench, error) {
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
	tmp, err := os.MkdirTemp("", "serval-compare-")
	if err != nil {
		return nil, err
	}
	b := &bench{o: o, root: root, tmp: tmp, shared: filepath.Join(tmp, "shared"), began: time.Now()}
	if err := b.build(ctx, filepath.Join(from, "bench")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	b.counter = countBytes(ctx) == nil
	if !b.counter {
		b.progress("no bytes between nodes: that needs root and nft")
	}
	return b, nil
}

func (b *bench) build(ctx context.Context, from string) error {
	// Copied, because its programs are built where they lie.
	if err := os.CopyFS(b.shared, os.DirFS(from)); err != nil {
		return err
	}
	scripts, err := filepath.Glob(filepath.Join(b.shared, "*.sh"))
	if err != nil {
		return err
	}
	for _, s := range append(scripts, filepath.Join(b.shared, "app", "build.sh")) {
		if err := os.Chmod(s, 0o755); err != nil {
			return err
		}
	}
	b.serval, b.load = filepath.Join(b.tmp, "serval"), filepath.Join(b.tmp, "load")
	b.hello, b.goredis = filepath.Join(b.tmp, "gohello"), filepath.Join(b.tmp, "goredis")
	for dir, out := range map[string]string{
		b.root: b.serval, filepath.Join(b.shared, "load"): b.load,
		filepath.Join(b.shared, "gohello"): b.hello, filepath.Join(b.shared, "goredis"): b.goredis,
	} {
		b.progress("building %s", filepath.Base(out))
		c := exec.CommandContext(ctx, "go", "build", "-o", out, ".")
		c.Dir, c.Stderr = dir, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("building %s: %w", filepath.Base(out), err)
		}
	}
	return nil
}

func (b *bench) close() {
	if b.counter {
		_ = exec.Command("nft", "delete", "table", "inet", "bench").Run()
	}
	_ = os.RemoveAll(b.tmp)
}

// progress tells a person where the run is.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7s  %s\n", time.Since(b.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// countBytes lets the kernel count the IP bytes between nodes, which the load
// generator reads: the clusters' ports by TCP and UDP, and Redis in both directions.
func countBytes(ctx context.Context) error {
	_ = exec.CommandContext(ctx, "nft", "delete", "table", "inet", "bench").Run() // of a run that was killed
	return runAll(ctx,
		"add table inet bench", "add counter inet bench wire",
		"add chain inet bench out { type filter hook output priority 0; }",
		"add rule inet bench out tcp dport 14001-14009 counter name wire",
		"add rule inet bench out tcp sport 14001-14009 counter name wire",
		"add rule inet bench out udp dport 14001-14009 counter name wire",
		"add rule inet bench out tcp dport 19190 counter name wire",
		"add rule inet bench out tcp sport 19190 counter name wire")
}

func runAll(ctx context.Context, rules ...string) error {
	for _, r := range rules {
		if err := exec.CommandContext(ctx, "nft", r).Run(); err != nil {
			return fmt.Errorf("nft %s: %w", r, err)
		}
	}
	return nil
}

// report is what the table needs of a report of the load generator.
type report struct {
	Requests    int64   `json:"requests"`
	RPS         float64 `json:"rps"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	CPU         float64 `json:"server_cpu_us_per_req"`
	Bytes       float64 `json:"nft_ip_bytes_per_req"`
	Back        int64   `json:"back"`
	Reset       int64   `json:"reset"`
	BadSum      int64   `json:"bad_sum"`
	HTTP5xx     int64   `json:"http_5xx"`
	HTTP4xx     int64   `json:"http_4xx"`
	ConnErr     int64   `json:"conn_err"`
	LostUpdates int64   `json:"lost_updates"`
	SessLost    int     `json:"sessions_lost_updates"`
	SessReset   int     `json:"sessions_reset"`
	NotServed   int     `json:"sessions_not_served_again"`
	AllServedMs float64 `json:"all_served_again_ms"`
	StallMaxMs  float64 `json:"stall_max_ms"`
}

func (r report) errors() int64 {
	return r.Back + r.Reset + r.BadSum + r.HTTP5xx + r.HTTP4xx + r.ConnErr
}

// run runs the load generator against a system.
func (b *bench) run(ctx context.Context, r *running, warm, length time.Duration, args ...string) (report, error) {
	file := filepath.Join(b.tmp, "report.jsonl")
	_ = os.Remove(file)
	all := append([]string{"-targets", strings.Join(r.targets, ","), "-pids", r.pids(), "-wire", "14001-14009",
		"-warm", warm.String(), "-d", length.String(), "-json", file}, args...)
	ctx, cancel := context.WithTimeout(ctx, warm+length+2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, b.load, all...).CombinedOutput(); err != nil {
		return report{}, fmt.Errorf("load %s: %w: %s", strings.Join(args, " "), err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return report{}, err
	}
	var rep report
	line, _, _ := strings.Cut(string(data), "\n")
	return rep, json.Unmarshal([]byte(line), &rep)
}

// measure starts a system, measures its cells and what else is wanted, and stops it.
func (b *bench) measure(ctx context.Context, s system, cells []cell, extras map[string]bool) []sample {
	app := s.app
	if app == "" {
		app = "/bench"
	}
	r, err := s.start(ctx, b)
	if err != nil {
		b.progress("  %s: %v", s.name, err)
		return []sample{{System: s.name, Problem: err.Error()}}
	}
	defer func() { r.stop() }() // a restart brings another one
	out := b.idle(ctx, s, r, extras)
	if s.java {
		b.progress("  warming up for %s", b.o.jit)
		if _, err := b.run(ctx, r, b.o.jit, time.Second, cells[0].load(app, s.cookie)...); err != nil {
			return append(out, sample{System: s.name, Problem: err.Error()})
		}
	}
	for _, c := range cells {
		if c.sessions && s.noSessions || c.name == "read" && strings.HasPrefix(s.name, "redis") {
			continue
		}
		rep, err := b.run(ctx, r, b.o.warm, b.o.length, c.load(app, s.cookie)...)
		p := sample{System: s.name, Cell: c.name, report: rep}
		if err != nil {
			p.Problem = err.Error()
		} else if n := rep.errors(); n > 0 {
			p.Problem = fmt.Sprintf("%d of %d requests went wrong", n, rep.Requests)
		}
		b.progress("  %-12s %7.1f µs CPU/request %8.0f/s  p99 %6.1f ms %9.0f B/request  %s", c.name, rep.CPU, rep.RPS, rep.P99/1e3, rep.Bytes, p.Problem)
		out = append(out, p)
	}
	return append(out, b.extras(ctx, s, r, extras)...)
}

// waitFor waits until a URL answers 200 and says how long that took.
func waitFor(ctx context.Context, url string, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Since(began) < limit {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return 0, fmt.Errorf("%s did not answer 200 within %s", url, limit)
}

// waitPort waits until something listens.
func waitPort(ctx context.Context, address string) error {
	var d net.Dialer
	for range 1000 {
		if c, err := d.DialContext(ctx, "tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("nothing listens on %s after 10 s", address)
}

// family is a process and all below it, comma-separated.
func family(pid int) string {
	out := strconv.Itoa(pid)
	found, _ := exec.Command("pgrep", "-P", out).Output()
	for c := range strings.FieldsSeq(string(found)) {
		if n, err := strconv.Atoi(c); err == nil {
			out += "," + family(n)
		}
	}
	return out
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
