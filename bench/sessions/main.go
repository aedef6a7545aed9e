// Command sessions measures what idle sessions cost: memory, and pauses of the
// garbage collector.
//
//	go run ./bench/sessions -n 1000000
//
// It makes n sessions of one integer and a string of 200 bytes, all different,
// each in a request of its own, and lets them be idle. Before and after, it runs
// the same load of garbage and reads the collector's pauses and the stalls of a
// goroutine that only looks at the clock. The load runs in rounds and the figure is
// the median of the rounds' worst: on a machine that others use, a single worst
// pause says when the operating system ran something else. It prints one figure a
// line and, with -check, exits with status 1 if the resident set is above -max-rss
// or the sessions add -max-pause or more to the worst pause.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/sessions"
)

type limits struct {
	check    bool
	maxRSS   int64 // MB
	maxPause time.Duration
}

func main() {
	n := flag.Int("n", 1_000_000, "number of sessions")
	load := flag.Duration("load", 500*time.Millisecond, "how long each round of garbage runs")
	var l limits
	flag.BoolVar(&l.check, "check", false, "exit with status 1 if a limit is exceeded")
	flag.Int64Var(&l.maxRSS, "max-rss", 600, "limit of the resident set, in MB")
	flag.DurationVar(&l.maxPause, "max-pause", 5*time.Millisecond, "limit of what the sessions add to the worst pause")
	flag.Parse()
	if err := run(os.Stdout, *n, *load, l); err != nil {
		fmt.Fprintln(os.Stderr, "sessions:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, n int, load time.Duration, l limits) error {
	ctx := context.Background()
	m, err := sessions.New(sessions.Options{App: "localhost/bench"})
	if err != nil {
		return err
	}
	before := rounds(load)
	base := residentMB()

	start := time.Now()
	ids, err := fill(ctx, m, n)
	if err != nil {
		return err
	}
	took := time.Since(start)
	peak := residentMB()
	after := rounds(load)
	rss := residentMB()
	looked, err := find(ctx, m, ids)
	if err != nil {
		return err
	}
	added := after.pause - before.pause
	fmt.Fprintf(w, "sessions              %d\n", n)
	fmt.Fprintf(w, "create and commit     %v each\n", took/time.Duration(max(n, 1)))
	fmt.Fprintf(w, "find an idle one      %v each\n", looked)
	fmt.Fprintf(w, "rss empty             %d MB\n", base)
	fmt.Fprintf(w, "rss after creation    %d MB\n", peak)
	fmt.Fprintf(w, "rss under load        %d MB\n", rss)
	fmt.Fprintf(w, "gc cycle              %v empty, %v with the sessions\n", before.cycle, after.cycle)
	fmt.Fprintf(w, "gc worst pause        %v empty, %v with the sessions\n", before.pause, after.pause)
	fmt.Fprintf(w, "worst stall           %v empty, %v with the sessions\n", before.stall, after.stall)
	if err := m.Close(ctx, false); err != nil {
		return err
	}
	switch worst := max(peak, rss); {
	case l.check && worst > l.maxRSS:
		return fmt.Errorf("resident set of %d MB, allowed are %d", worst, l.maxRSS)
	case l.check && added >= l.maxPause:
		return fmt.Errorf("the sessions add %v to the worst pause, allowed are less than %v", added, l.maxPause)
	}
	return nil
}

// fill makes the sessions. It returns the ids of some.
func fill(ctx context.Context, m *sessions.Manager, n int) (sample []sessions.ID, err error) {
	for i := range n {
		s, err := m.Create(ctx)
		if err != nil {
			return nil, err
		}
		_, err = s.Commit(ctx, &sessions.Changes{Attributes: []sessions.Change{
			{Name: "count", Value: integer(i)}, {Name: "text", Value: text()},
		}})
		if i%(n/1000+1) == 0 {
			sample = append(sample, s.ID())
		}
		s.End()
		if err != nil {
			return nil, err
		}
	}
	return sample, nil
}

// find looks the sample up and reads an attribute of each.
func find(ctx context.Context, m *sessions.Manager, ids []sessions.ID) (each time.Duration, err error) {
	start := time.Now()
	for _, id := range ids {
		s, err := m.Find(ctx, id)
		if err != nil {
			return 0, err
		}
		a, ok, err := s.Attribute("text")
		s.End()
		if err != nil || !ok || len(a.Value) != 202 {
			return 0, errors.Join(err, errors.New("a session does not hold what was put into it"))
		}
	}
	return time.Since(start) / time.Duration(max(len(ids), 1)), nil
}

// integer is a CBOR integer of five bytes.
func integer(i int) []byte { return binary.BigEndian.AppendUint32([]byte{0x1a}, uint32(i)) }

// text is a CBOR string of 200 random letters.
func text() []byte {
	b := make([]byte, 202)
	b[0], b[1] = 0x78, 200
	for i := 2; i < len(b); i++ {
		b[i] = 'a' + byte(rand.IntN(26))
	}
	return b
}

// costs are the worst that a load of garbage has met with.
type costs struct{ pause, cycle, stall time.Duration }

const numRounds = 11

// rounds runs the load several times and returns the median of each figure.
func rounds(d time.Duration) costs {
	var pause, cycle, stall []time.Duration
	for range numRounds {
		c := churn(d)
		pause, cycle, stall = append(pause, c.pause), append(cycle, c.cycle), append(stall, c.stall)
	}
	median := func(v []time.Duration) time.Duration {
		slices.Sort(v)
		return v[len(v)/2]
	}
	return costs{median(pause), median(cycle), median(stall)}
}

var sink []byte

// churn makes garbage as a busy server does, for a while.
func churn(d time.Duration) (c costs) {
	runtime.GC()
	start := pauses()
	stop := make(chan struct{})
	stalled := make(chan time.Duration)
	go func() { // ends when stop is closed
		var worst time.Duration
		last := time.Now()
		for {
			select {
			case <-stop:
				stalled <- worst
				return
			default:
			}
			runtime.Gosched()
			now := time.Now()
			worst = max(worst, now.Sub(last))
			last = now
		}
	}()
	var cycles int
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 1000 {
			sink = make([]byte, 4096)
		}
		if cycles < 5 {
			t := time.Now()
			runtime.GC()
			c.cycle = max(c.cycle, time.Since(t))
			cycles++
		}
	}
	runtime.KeepAlive(sink)
	close(stop)
	c.stall = <-stalled
	c.pause = worstPause(start, pauses())
	return c
}

const pauseMetric = "/sched/pauses/total/gc:seconds"

func pauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: pauseMetric}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}
}

// worstPause is the upper bound of the highest bucket that has grown.
func worstPause(before, after *metrics.Float64Histogram) time.Duration {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] > before.Counts[i] {
			up := after.Buckets[i+1]
			if math.IsInf(up, 1) {
				up = after.Buckets[i]
			}
			return time.Duration(up * float64(time.Second))
		}
	}
	return 0
}

// residentMB is the process's resident set, 0 where /proc does not tell.
func residentMB() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			if err == nil {
				return n / 1024
			}
		}
	}
	return 0
}
