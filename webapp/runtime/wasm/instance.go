package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// What recv returns beside a length.
const (
	recvLate = -1 // no frame in time
	recvGone = -2 // there will be no more
)

// Where a guest finds the bundle and its temporary folder.
const (
	guestDir  = "/bundle"
	guestTemp = "/tmp"
)

// instance is one instance of the module. One goroutine at a time uses it.
type instance struct {
	h     *host
	mod   api.Module
	start api.Function
	call  api.Function
	ctx   context.Context // by which the guest's functions know it
	hello []byte          // the payload of its greeting
	bad   bool            // it has failed in some way
	slots chan struct{}   // where its token is while it is in use

	welcomed bool // it has been given the server's welcome

	root   uint32 // the stream that it serves
	failed bool   // the last answer had a failure
	// last is the frame that ends the root's answer. It is kept back until the
	// instance is free: the server's next request may have it then. And once
	// the server has the answer to an initialisation, requests may come that
	// other instances serve, which must have been told of it.
	last []byte

	// Guarded by h.mu.
	done   int // initialisations of the host's list that it has done
	inbox  [][]byte
	ready  chan struct{} // a token: inbox has something, or the host has ended
	opened []uint32      // streams that it has opened and streams nested in them
}

type instanceKey struct{}

// instantiate makes an instance, up to its greeting.
func (h *host) instantiate(ctx context.Context) (*instance, error) {
	in := &instance{h: h, ready: make(chan struct{}, 1)}
	in.ctx = context.WithValue(ctx, instanceKey{}, in)
	h.mu.Lock()
	h.names++
	if h.all == nil {
		h.all = make(map[*instance]bool)
	}
	h.all[in] = true
	h.mu.Unlock()
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").
		WithStdout(h.opts.Stdout).WithStderr(h.opts.Stdout).WithRandSource(rand.Reader).
		WithSysWalltime().WithSysNanotime().WithSysNanosleep().WithArgs("app")
	if h.welcome != nil {
		cfg = cfg.WithFSConfig(h.files())
	}
	mod, err := h.rt.InstantiateModule(in.ctx, h.mod, cfg)
	if err != nil {
		h.drop(in)
		return nil, fmt.Errorf("instantiating the module: %w", err)
	}
	in.mod = mod
	in.start, in.call = mod.ExportedFunction("serval_start"), mod.ExportedFunction("serval_run")
	if err := in.begin(); err != nil {
		in.close(ctx)
		return nil, err
	}
	return in, nil
}

func (h *host) drop(in *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, in)
}

// begin checks the version and has the guest greet.
func (in *instance) begin() error {
	v, err := in.invoke(in.mod.ExportedFunction("serval_abi"))
	if err != nil {
		return fmt.Errorf("serval_abi: %w", err)
	}
	if v != ABI {
		return fmt.Errorf("the module speaks version %d of the guest interface, this server %d", v, ABI)
	}
	if v, err = in.invoke(in.start); err != nil {
		return fmt.Errorf("serval_start: %w", err)
	}
	if v != 0 || in.hello == nil {
		return errors.New("the module did not greet the server (see the log for its output)")
	}
	return nil
}

// invoke calls an exported function without parameters. Any error is the end of
// the instance.
func (in *instance) invoke(f api.Function) (int32, error) {
	var stack [1]uint64
	if err := f.CallWithStack(in.ctx, stack[:]); err != nil {
		in.bad = true
		return 0, err
	}
	return api.DecodeI32(stack[0]), nil
}

// files are what a guest can open: the bundle, to read, and its own temporary
// folder.
func (h *host) files() wazero.FSConfig {
	cfg := wazero.NewFSConfig()
	var w wire.Welcome
	if w.Decode(h.serverWelcome) != nil {
		return cfg // it was decoded before
	}
	if w.Dir != "" {
		cfg = cfg.WithReadOnlyDirMount(w.Dir, guestDir)
	}
	if w.TempDir != "" {
		cfg = cfg.WithDirMount(w.TempDir, guestTemp)
	}
	return cfg
}

// guestWelcome is the server's welcome with the folders that a guest sees.
func (h *host) guestWelcome(payload []byte) ([]byte, error) {
	var w wire.Welcome
	if err := w.Decode(payload); err != nil {
		return nil, err
	}
	h.serverWelcome = append([]byte(nil), payload...)
	if w.Dir != "" {
		w.Dir = guestDir
	}
	if w.TempDir != "" {
		w.TempDir = guestTemp
	}
	return wire.AppendFrame(nil, wire.TypeWelcome, 0, 0, w.Append(nil)), nil
}

// get takes an instance that is ready to serve; it waits for its turn, which is a
// token in slots.
func (h *host) get(ctx context.Context, slots chan struct{}) (*instance, error) {
	slots <- struct{}{}
	<-h.welcomed
	h.mu.Lock()
	var in *instance
	if n := len(h.idle); n > 0 {
		in = h.idle[n-1]
		h.idle = h.idle[:n-1]
	}
	h.mu.Unlock()
	var err error
	if in == nil {
		if in, err = h.instantiate(ctx); err != nil {
			<-slots
			return nil, err
		}
	}
	in.slots = slots
	if err := in.catchUp(); err != nil {
		in.bad = true
		h.put(in)
		return nil, err
	}
	return in, nil
}

// catchUp has an instance do what the others have done.
func (in *instance) catchUp() error {
	if !in.welcomed {
		in.welcomed = true
		if err := in.run(0, in.h.welcome); err != nil {
			return err
		}
	}
	for {
		in.h.mu.Lock()
		done := in.done
		in.done = min(done+1, len(in.h.inits))
		inits := in.h.inits
		in.h.mu.Unlock()
		if done == len(inits) {
			return nil
		}
		if err := in.replay(inits[done]); err != nil {
			return err
		}
	}
}

func replayFrame(payload []byte) []byte {
	return wire.AppendFrame(nil, wire.TypeInit, wire.FlagEnd, replayStream, payload)
}

// replay has the instance initialise something whose answer nobody waits for.
func (in *instance) replay(payload []byte) error {
	in.failed = false
	if err := in.run(replayStream, replayFrame(payload)); err != nil {
		return err
	}
	if in.failed {
		return errors.New("an initialisation that went well before has failed in another instance")
	}
	return nil
}

// put gives an instance back. One that has failed, or has grown to more than
// half of what it may have, is closed.
func (h *host) put(in *instance) {
	defer func(slots chan struct{}) { <-slots }(in.slots)
	if in.bad || int64(in.mod.Memory().Size()) > h.opts.Memory/2 {
		in.close(context.Background())
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range in.opened {
		delete(h.streams, id)
	}
	in.opened, in.inbox = in.opened[:0], in.inbox[:0]
	h.idle = append(h.idle, in)
}

func (in *instance) close(ctx context.Context) {
	h := in.h
	h.mu.Lock()
	opened := in.opened
	for _, id := range opened {
		delete(h.streams, id)
	}
	delete(h.all, in)
	h.mu.Unlock()
	for _, id := range opened {
		if id%2 == 0 {
			_ = h.write(wire.AppendFrame(nil, wire.TypeCancel, 0, id, nil)) // the reader sees the connection's end
		}
	}
	if in.mod != nil {
		_ = in.mod.Close(ctx)
	}
}

// run hands a frame to the guest and lets it work until it is done with it.
func (in *instance) run(id uint32, frame []byte) error {
	h := in.h
	in.root, in.last = id, nil
	h.mu.Lock()
	in.inbox = append(in.inbox, frame)
	if s := h.streams[id]; s != nil {
		s.in = in
		in.inbox = append(in.inbox, s.waiting...)
		s.waiting = nil
	}
	h.mu.Unlock()
	v, err := in.invoke(in.call)
	if err != nil {
		// The first line says what; the rest is the guest's stack.
		what, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("the instance has ended: %s", what)
	}
	if v != 0 {
		in.bad = true
		return errors.New("the instance has failed")
	}
	return nil
}

// pushLocked adds a frame; h.mu is held.
func (in *instance) pushLocked(frame []byte) {
	in.inbox = append(in.inbox, frame)
	in.wake()
}

func (in *instance) wake() {
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// next waits for a frame, up to timeout (negative: for ever).
func (in *instance) next(timeout time.Duration) (frame []byte, gone bool) {
	var late <-chan time.Time
	for {
		in.h.mu.Lock()
		if len(in.inbox) > 0 {
			frame = in.inbox[0]
		}
		gone = in.h.end
		in.h.mu.Unlock()
		if frame != nil || gone || timeout == 0 {
			return frame, gone
		}
		if late == nil && timeout > 0 {
			t := time.NewTimer(timeout)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-in.ready:
		case <-late:
			return nil, false
		}
	}
}

// recv is the guest's function of that name: (ptr, capacity, timeout in ms) →
// the length of the next frame, which is taken if it fits.
func recv(ctx context.Context, mod api.Module, stack []uint64) {
	in, _ := ctx.Value(instanceKey{}).(*instance)
	ptr, capacity, timeout := api.DecodeU32(stack[0]), api.DecodeU32(stack[1]), api.DecodeI32(stack[2])
	wait := time.Duration(timeout) * time.Millisecond
	if timeout < 0 {
		wait = -1
	}
	frame, gone := in.next(wait)
	switch {
	case frame == nil && gone:
		stack[0] = api.EncodeI32(recvGone)
		return
	case frame == nil:
		stack[0] = api.EncodeI32(recvLate)
		return
	}
	stack[0] = api.EncodeI32(int32(len(frame)))
	if uint64(len(frame)) > uint64(capacity) {
		return
	}
	if !mod.Memory().Write(ptr, frame) {
		panic(fmt.Errorf("recv: %d bytes at %d are not all memory", len(frame), ptr))
	}
	in.h.mu.Lock()
	in.inbox = slices.Delete(in.inbox, 0, 1)
	in.h.mu.Unlock()
}

// send is the guest's function of that name: (ptr, length) of one whole frame.
func send(ctx context.Context, mod api.Module, stack []uint64) {
	in, _ := ctx.Value(instanceKey{}).(*instance)
	ptr, n := api.DecodeU32(stack[0]), api.DecodeU32(stack[1])
	frame, ok := mod.Memory().Read(ptr, n)
	if !ok {
		panic(fmt.Errorf("send: %d bytes at %d are not all memory", n, ptr))
	}
	hd, payload, whole, err := wire.ParseFrame(frame)
	if err != nil || whole != len(frame) {
		panic(fmt.Errorf("send: %d bytes are not one frame", n))
	}
	in.sent(hd, payload, frame)
}

// sent passes a guest's frame on, unless it is for the host.
func (in *instance) sent(hd wire.Header, payload, frame []byte) {
	switch {
	case hd.Type == wire.TypeHello:
		in.hello = append([]byte(nil), payload...)
		return
	case hd.Stream == 0 && hd.Type != wire.TypeLog:
		return
	case hd.Type == wire.TypeEnd || hd.Type == wire.TypeResponse:
		if len(payload) > 0 {
			in.failed = payload[0]&responseFailure != 0
		}
	case hd.Type == wire.TypeDispatch:
		in.h.mu.Lock()
		if s := in.h.streams[hd.Stream]; s != nil {
			s.in = in
		}
		in.h.mu.Unlock()
	}
	switch {
	case hd.Stream == replayStream:
		return
	case hd.Stream == in.root && (hd.Type == wire.TypeEnd || hd.Flags&wire.FlagEnd != 0):
		in.last = append([]byte(nil), frame...)
		return
	}
	_ = in.h.write(frame) // the reader sees the connection's end
}

// responseFailure is the bit of a Response's first byte that says that it has a
// failure.
const responseFailure = 1 << 1

// newStream is the guest's function of that name: a number for a stream that it
// opens.
func newStream(ctx context.Context, _ api.Module, stack []uint64) {
	in, _ := ctx.Value(instanceKey{}).(*instance)
	h := in.h
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		h.stream += 2
		if h.stream != 0 && h.streams[h.stream] == nil {
			break
		}
	}
	h.streams[h.stream] = &stream{in: in}
	in.opened = append(in.opened, h.stream)
	stack[0] = api.EncodeU32(h.stream)
}
