//go:build linux

// Command transport measures what it costs to replicate small messages between
// two processes: over Serval's transport (QUIC, package cluster/transport), and
// over TLS 1.3 on one TCP connection, with a write per message and with the
// same ack-gated grouping.
//
//	go run ./bench/transport [-writers 8,32,128] [-proto quic,tcp,tcpgroup] [-d 2s] [-reps 3]
//	    each writer changes a session of its own and waits for the acknowledgement
//	go run ./bench/transport -rate 5000
//	    messages fall due at that rate instead, whether acknowledged or not
//
// It prints messages per second, latency, CPU of both processes per message, and
// bytes on the wire per message, both ways, IP headers and acknowledgements
// included. Runs of the variants are interleaved; the median by CPU is shown.
// QUIC's messages are encoded and decoded (package wire), TCP's are 100 opaque
// bytes and an acknowledgement of 8.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	fWriters = flag.String("writers", "8,32,128", "numbers of concurrent writers")
	fProto   = flag.String("proto", "quic,tcp,tcpgroup", "variants: quic, tcp (a write per message), tcpgroup (ack-gated)")
	fRate    = flag.Float64("rate", 0, "messages per second in all, each by a free writer; 0: as fast as acknowledged")
	fD       = flag.Duration("d", 2*time.Second, "measured time of a run")
	fWarm    = flag.Duration("warm", 500*time.Millisecond, "warm-up")
	fReps    = flag.Int("reps", 3, "runs per cell")
	fLanes   = flag.Int("lanes", 0, "lanes (quic); 0: the default")
	fPause   = flag.Duration("pause", 0, "longest pause at high rates (quic); 0: the default, negative: none")
	fValue   = flag.Int("value", 20, "bytes of the value that changes (quic)")
	fProfile = flag.String("cpuprofile", "", "write a CPU profile of the sender")
	fServe   = flag.String("serve", "", "internal: be the receiver")
	fDir     = flag.String("dir", "", "internal: folder of the certificates")
)

func main() {
	flag.Parse()
	if *fServe != "" {
		check(serve(*fServe, *fDir))
		return
	}
	dir, err := os.MkdirTemp("", "transport")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	check(makeCertificates(dir))
	if *fProfile != "" {
		f, err := os.Create(*fProfile)
		check(err)
		check(pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	results := map[string][]result{}
	for range *fReps {
		for w := range strings.SplitSeq(*fWriters, ",") {
			n, err := strconv.Atoi(w)
			check(err)
			for p := range strings.SplitSeq(*fProto, ",") {
				r, err := run(p, n, dir)
				check(err)
				results[p+" "+w] = append(results[p+" "+w], r)
			}
		}
	}
	fmt.Printf("%-18s %9s %8s %8s %8s %9s %9s %9s %10s %9s\n", "variant, writers", "msg/s", "p50 us", "p99 us", "max ms", "send us", "recv us", "CPU us", "bytes/msg", "msg/batch")
	for w := range strings.SplitSeq(*fWriters, ",") {
		for p := range strings.SplitSeq(*fProto, ",") {
			rs := results[p+" "+w]
			slices.SortFunc(rs, func(a, b result) int { return cmp.Compare(a.send+a.recv, b.send+b.recv) })
			r := rs[len(rs)/2]
			fmt.Printf("%-18s %9.0f %8.0f %8.0f %8.0f %9.2f %9.2f %9.2f %10.1f %9.1f\n", p+" "+w, r.rate, r.p50, r.p99, r.longest/1e3, r.send, r.recv, r.send+r.recv, r.bytes, r.batch)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "transport:", err)
		os.Exit(1)
	}
}

// result is one run: per message, microseconds of CPU and bytes.
type result struct{ rate, p50, p99, longest, send, recv, bytes, batch float64 }

// link is one end of a variant, the sender's.
type link interface {
	// write sends the n-th message of a writer.
	write(writer, n int)
	// traffic is all bytes both ways so far with headers, and the batches sent.
	traffic() (bytes, batches uint64)
	close()
}

// receiver is the other process.
type receiver struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	addr string
}

func startReceiver(proto, dir string) (*receiver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &receiver{cmd: exec.Command(self, "-serve", proto, "-dir", dir, "-lanes", strconv.Itoa(*fLanes), "-pause", fPause.String())}
	r.cmd.Stderr = os.Stderr
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	r.addr, err = r.line()
	return r, err
}

func (r *receiver) line() (string, error) {
	s, err := r.out.ReadString('\n')
	return strings.TrimSpace(s), err
}

// cpu asks the receiver for the CPU time that it has used, in microseconds.
func (r *receiver) cpu() (float64, error) {
	if _, err := io.WriteString(r.in, "cpu\n"); err != nil {
		return 0, err
	}
	s, err := r.line()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(s, 64)
}

func (r *receiver) stop() {
	_ = r.in.Close()
	_ = r.cmd.Wait()
}

// serve is the receiver's main: it prints its address, then its CPU time for
// each line that it reads, until there are no more.
func serve(proto, dir string) error {
	addr, end, err := receive(proto, dir)
	if err != nil {
		return err
	}
	defer end()
	fmt.Println(addr)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println(strconv.FormatFloat(ownCPU(), 'f', 0, 64))
	}
	return in.Err()
}

func ownCPU() float64 {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}

// writers is all writers and what they wait for.
type writers struct {
	acked  []chan struct{} // by writer
	mu     sync.Mutex
	record bool
	took   []float64 // guarded by mu: microseconds
	done   int       // guarded by mu
}

// note is called by a writer whose message was acknowledged.
func (w *writers) note(since time.Time) {
	d := float64(time.Since(since).Nanoseconds()) / 1e3
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done++
	if w.record {
		w.took = append(w.took, d)
	}
}

// run is one run of one cell.
func run(proto string, n int, dir string) (result, error) {
	r, err := startReceiver(proto, dir)
	if err != nil {
		return result{}, err
	}
	defer r.stop()
	w := &writers{acked: make([]chan struct{}, n)}
	for i := range w.acked {
		w.acked[i] = make(chan struct{}, 1)
	}
	l, err := dial(proto, dir, r.addr, w)
	if err != nil {
		return result{}, err
	}
	defer l.close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	due := pace(&wg, stop)
	for i := range n {
		wg.Go(func() { w.loop(l, i, due, stop) })
	}
	time.Sleep(*fWarm)
	res, err := w.measure(l, r)
	close(stop)
	wg.Wait()
	return res, err
}

// loop is one writer: it writes when due and waits for the acknowledgement.
func (w *writers) loop(l link, i int, due <-chan time.Time, stop <-chan struct{}) {
	for n := 1; ; n++ {
		began := time.Now()
		if due != nil {
			select {
			case began = <-due:
			case <-stop:
				return
			}
		}
		l.write(i, n)
		select {
		case <-w.acked[i]:
		case <-stop:
			return
		}
		w.note(began)
	}
}

// pace makes messages fall due at the rate, nil if there is none.
func pace(wg *sync.WaitGroup, stop <-chan struct{}) <-chan time.Time {
	if *fRate == 0 {
		return nil
	}
	due := make(chan time.Time, 1<<16)
	wg.Go(func() {
		next, step := time.Now(), time.Duration(float64(time.Second) / *fRate)
		for {
			time.Sleep(time.Until(next))
			for ; !next.After(time.Now()); next = next.Add(step) {
				select {
				case due <- next:
				case <-stop:
					return
				}
			}
		}
	})
	return due
}

func (w *writers) measure(l link, r *receiver) (result, error) {
	w.mu.Lock()
	w.record = true
	done := w.done
	w.mu.Unlock()
	other, err := r.cpu()
	if err != nil {
		return result{}, err
	}
	began, own := time.Now(), ownCPU()
	bytes, batches := l.traffic()
	time.Sleep(*fD)
	w.mu.Lock()
	w.record = false
	n := float64(w.done - done)
	w.mu.Unlock()
	took := time.Since(began)
	own = ownCPU() - own
	after, err := r.cpu()
	if err != nil {
		return result{}, err
	}
	bytes2, batches2 := l.traffic()
	if n == 0 {
		return result{}, fmt.Errorf("nothing was acknowledged")
	}
	slices.Sort(w.took)
	return result{
		rate: n / took.Seconds(), p50: w.took[len(w.took)/2], p99: w.took[len(w.took)*99/100], longest: w.took[len(w.took)-1],
		send: own / n, recv: (after - other) / n,
		bytes: float64(bytes2-bytes) / n, batch: n / max(1, float64(batches2-batches)),
	}, nil
}
