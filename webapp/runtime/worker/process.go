package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// process is one life of a worker.
type process struct {
	conn  *wire.Conn
	hello wire.Hello
	pid   int
	held  heldValues

	segments segmentTable
	log      *slog.Logger

	reason atomic.Pointer[string] // why we killed it

	kill   func()
	exited chan struct{} // closed when the process is gone and its output read
	err    error         // how it ended; read after exited
	wg     sync.WaitGroup
}

// passedOn reports whether a variable of the server's environment is for
// workers too.
func passedOn(kv string) bool {
	name, _, _ := strings.Cut(kv, "=")
	switch name {
	case "PATH", "HOME", "TMPDIR", "TMP", "TEMP", "TZ", "LANG", "SYSTEMROOT", "GOTRACEBACK", "GOCOVERDIR":
		return true
	}
	return strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "SSL_CERT_")
}

func environment(o Options, extra []string, memory int64) []string {
	var env []string
	for _, kv := range os.Environ() {
		if passedOn(kv) {
			env = append(env, kv)
		}
	}
	if memory > 0 {
		// The collector works harder before the limit is reached.
		env = append(env, fmt.Sprintf("GOMEMLIMIT=%d", memory/10*9))
	}
	env = append(env, o.Env...)
	return append(env, extra...)
}

// spawn starts the command and returns it connected, before the greeting. The
// goroutine that starts it also waits for it, locked to its thread: on Linux
// the kernel kills the child when that thread ends.
func spawn(o Options, env []string, memory int64, log *slog.Logger) (*process, io.ReadWriteCloser, error) {
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Dir, cmd.Env = o.Dir, env
	cmd.SysProcAttr = sysProcAttr()
	sock, err := newSocket(cmd)
	if err != nil {
		return nil, nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		sock.abandon()
		return nil, nil, fmt.Errorf("worker's output: %w", err)
	}
	cmd.Stdout, cmd.Stderr = in, in

	p := &process{log: log, exited: make(chan struct{})}
	p.wg.Go(func() { copyOutput(out, log) })
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // ends with the goroutine, after the child
		err := cmd.Start()
		_ = in.Close()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		// A grandchild may hold the other end of the pipe for ever.
		late := time.AfterFunc(time.Second, func() { _ = out.Close() })
		p.wg.Wait()
		late.Stop()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		_ = out.Close()
		sock.abandon()
		return nil, nil, fmt.Errorf("starting %s: %w", o.Command[0], err)
	}
	p.pid = cmd.Process.Pid
	p.kill = func() { _ = cmd.Process.Kill() } // it may be gone already
	limitMemory(p.pid, memory, log)
	rw, err := sock.connect(p.exited)
	if err != nil {
		p.kill()
		return nil, nil, err
	}
	return p, rw, nil
}

// maxLine is how much of one line of a worker's output goes into one record.
const maxLine = 8 << 10

// copyOutput puts what a worker prints into the log, line by line.
func copyOutput(out io.ReadCloser, log *slog.Logger) {
	defer out.Close() // it was only read
	r := bufio.NewReaderSize(out, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if s := strings.TrimRight(string(line), "\r\n"); s != "" {
			log.Info(s, "source", "output")
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// greet waits for the worker's Hello and answers it.
func (p *process) greet(ctx context.Context, rw io.ReadWriteCloser, cfg wire.Config, welcome *wire.Welcome) error {
	p.conn = wire.NewConn(rw, cfg)
	stop := context.AfterFunc(ctx, func() { _ = rw.Close() })
	defer stop()
	h, m, err := p.conn.Read(1 << 20)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the worker's greeting: %w", context.Cause(ctx))
		}
		return fmt.Errorf("waiting for the worker's greeting: %w", err)
	}
	defer m.Free()
	if h.Type != wire.TypeHello || h.Stream != 0 {
		return fmt.Errorf("the worker began with %s, not with a greeting", h.Type)
	}
	if err := p.hello.Decode(m.Payload); err != nil {
		return err
	}
	if p.hello.Min > wire.Protocol || p.hello.Max < wire.Protocol {
		return fmt.Errorf("the worker speaks versions %d to %d of the protocol, the server %d: build it with the server's own SDK",
			p.hello.Min, p.hello.Max, wire.Protocol)
	}
	p.held.on = p.hello.Capabilities&wire.CapTokens != 0
	f := wire.NewFrame()
	return p.conn.SendControl(wire.TypeWelcome, f.Set(welcome.Append(f.Bytes())))
}

// end kills the process for a reason that the log will show.
func (p *process) end(reason string) {
	p.reason.CompareAndSwap(nil, &reason)
	p.kill()
}

// close ends the connection, then the process if it does not end by itself.
func (p *process) close(ctx context.Context) {
	p.conn.Close(nil)
	select {
	case <-p.exited:
		return
	case <-ctx.Done():
	case <-time.After(DefaultStopTimeout):
	}
	p.kill()
	<-p.exited
}

// components are what the worker has offered in its greeting.
func (p *process) components() servlet.Components {
	c := servlet.Components{
		Listeners:  make(map[string]servlet.ListenerKinds),
		Binding:    p.hello.Capabilities&wire.CapBinding != 0,
		Activation: p.hello.Capabilities&wire.CapActivation != 0,
	}
	for _, x := range p.hello.Components {
		switch x.Kind {
		case wire.Servlet:
			c.Servlets = append(c.Servlets, x.Name)
		case wire.Filter:
			c.Filters = append(c.Filters, x.Name)
		case wire.Listener:
			c.Listeners[x.Name] = servlet.ListenerKinds(x.Traits)
		case wire.Policy:
			c.Policies = append(c.Policies, x.Name)
		}
	}
	slices.Sort(c.Servlets)
	slices.Sort(c.Filters)
	slices.Sort(c.Policies)
	return c
}
