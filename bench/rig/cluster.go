package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Cluster is nodes that a script runs which takes the calls of
// shared/bench/tomcat-cluster.sh.
type Cluster struct {
	Targets []string // their HTTP addresses, in node order
	script  string
	env     []string
	serval  bool
}

// StartServal starts a cluster of n Serval nodes with the linked application, and
// returns when they are level. More are options of bench/serval-cluster.sh.
func (r *Rig) StartServal(ctx context.Context, n int, more ...string) (*Cluster, error) {
	return r.StartCluster(ctx, filepath.Join(r.Root, "bench", "serval-cluster.sh"), n, []string{"SERVAL=" + r.Serval, "BENCH_BUNDLES=bench"}, more...)
}

// StartCluster starts n nodes with a script.
func (r *Rig) StartCluster(ctx context.Context, script string, n int, env []string, more ...string) (*Cluster, error) {
	c := &Cluster{script: script, env: append(env, "BENCH_RUN="+filepath.Join(r.Tmp, "run")), serval: strings.HasPrefix(filepath.Base(script), "serval")}
	if _, err := c.Call(ctx, append([]string{"up", strconv.Itoa(n)}, more...)...); err != nil {
		c.Stop()
		return nil, err
	}
	for i := 1; i <= n; i++ {
		c.Targets = append(c.Targets, fmt.Sprintf("http://127.0.0.1:%d", 18080+i))
	}
	return c, nil
}

// Call runs the script and returns what it prints.
func (c *Cluster) Call(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.script, args...)
	cmd.Env = append(os.Environ(), c.env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(c.script), strings.Join(args, " "), err, out, errs.String())
	}
	return strings.TrimSpace(string(out)), err
}

// Stop stops all nodes.
func (c *Cluster) Stop() { _, _ = c.Call(context.Background(), "down") }

// Pid is the process of a node; they count from 1.
func (c *Cluster) Pid(ctx context.Context, node int) (int, error) {
	out, err := c.Call(ctx, "pid", strconv.Itoa(node))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// Pids are the processes of all nodes with their workers, comma-separated.
func (c *Cluster) Pids() string {
	args := []string{"pids"}
	if c.serval {
		args = append(args, "--all")
	}
	out, _ := c.Call(context.Background(), args...)
	return out
}

// Start starts a node and says how many milliseconds it took until it was level.
func (c *Cluster) Start(ctx context.Context, node int) (float64, error) {
	out, err := c.Call(ctx, "start", strconv.Itoa(node))
	if err != nil {
		return 0, err
	}
	all := number.FindAllString(out, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("start %d printed no time: %q", node, out)
	}
	return strconv.ParseFloat(all[len(all)-1], 64)
}

var number = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// Family is a process and all below it, comma-separated.
func Family(pid int) string {
	out := strconv.Itoa(pid)
	found, _ := exec.Command("pgrep", "-P", out).Output()
	for child := range strings.FieldsSeq(string(found)) {
		if n, err := strconv.Atoi(child); err == nil {
			out += "," + Family(n)
		}
	}
	return out
}

// Ticks is the CPU time of processes in hundredths of a second; those that are
// gone count nothing.
func Ticks(pids string) (sum int64) {
	for pid := range strings.SplitSeq(pids, ",") {
		data, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		f := strings.Fields(rest)
		for _, i := range []int{11, 12} { // utime and stime
			if i < len(f) {
				n, _ := strconv.ParseInt(f[i], 10, 64)
				sum += n
			}
		}
	}
	return sum
}

// RSS is the resident memory of processes in KiB.
func RSS(pids string) (sum int64) {
	for pid := range strings.SplitSeq(pids, ",") {
		data, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), "VmRSS:")
		n, _ := strconv.ParseInt(number.FindString(rest), 10, 64)
		sum += n
	}
	return sum
}
