package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Report is what the load generator says of one run.
type Report struct {
	Requests int64   `json:"requests"`
	RPS      float64 `json:"rps"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	Max      float64 `json:"max_us"`
	// CPU is of all server processes together, in microseconds per request.
	CPU float64 `json:"server_cpu_us_per_req"`
	// Bytes are IP bytes between nodes per request, Packets their packets; 0 if
	// the kernel does not count them.
	Bytes   float64 `json:"nft_ip_bytes_per_req"`
	Packets float64 `json:"nft_packets_per_req"`

	// What went wrong: answers whose counter was lower than one before, sessions
	// that began anew, updates that were applied but not acknowledged (which is no
	// error when a node has died), wrong sums, statuses, connections.
	Back        int64 `json:"back"`
	Reset       int64 `json:"reset"`
	Ahead       int64 `json:"ahead"`
	LostUpdates int64 `json:"lost_updates"`
	BadSum      int64 `json:"bad_sum"`
	HTTP5xx     int64 `json:"http_5xx"`
	HTTP4xx     int64 `json:"http_4xx"`
	ConnErr     int64 `json:"conn_err"`
	Timeouts    int64 `json:"timeouts"`

	// Of runs that kill a node.
	AtKilled    int     `json:"sessions_at_killed"`
	SessLost    int     `json:"sessions_lost_updates"`
	SessReset   int     `json:"sessions_reset"`
	NotServed   int     `json:"sessions_not_served_again"`
	AllServedMs float64 `json:"all_served_again_ms"`
	StallMaxMs  float64 `json:"stall_max_ms"`
}

// Lost is how many acknowledged updates or sessions were lost.
func (r Report) Lost() int64 { return r.Back + r.Reset + r.LostUpdates + r.BadSum }

// Errors is how many requests went wrong in any way.
func (r Report) Errors() int64 { return r.Lost() + r.HTTP5xx + r.HTTP4xx + r.ConnErr }

// Run runs the load generator against some addresses, whose processes are pids. The
// args are the generator's own.
func (r *Rig) Run(ctx context.Context, targets []string, pids string, warm, length time.Duration, args ...string) (Report, error) {
	f, err := os.CreateTemp(r.Tmp, "report-*.jsonl")
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return Report{}, err
	}
	all := append([]string{"-targets", strings.Join(targets, ","), "-pids", pids, "-wire", "14001-14009",
		"-warm", warm.String(), "-d", length.String(), "-json", filepath.Clean(f.Name())}, args...)
	limit := warm + length + 2*time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not finished after %v", limit))
	defer cancel()
	if out, err := exec.CommandContext(ctx, r.Load, all...).CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // says more than that it was killed
		}
		return Report{}, fmt.Errorf("load %s: %w: %s", strings.Join(args, " "), err, out)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return Report{}, err
	}
	var rep Report
	line, _, _ := strings.Cut(string(data), "\n")
	return rep, json.Unmarshal([]byte(line), &rep)
}
