package wasm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/wire"
)

// ABI is the version of the guest interface that this package speaks.
const ABI = 1

// Defaults of Options.
const (
	DefaultMemory = 512 << 20
	pageSize      = 64 << 10
)

// Options are what a module is run with.
type Options struct {
	// File is the module.
	File string
	// CacheDir keeps what the module was compiled to; "" compiles it each time.
	CacheDir string
	// Memory is the most that one instance may use, in bytes; 0 is DefaultMemory.
	Memory int64
	// Instances is how many requests are served at once; 0 is four for each
	// processor.
	Instances int
	// Conn is the connection to the server; nil is servlet.WorkerConn.
	Conn io.ReadWriteCloser
	// Stdout takes what the guest prints; nil is os.Stdout.
	Stdout io.Writer
}

// Serve runs the module until the server closes the connection.
func Serve(ctx context.Context, o Options) error {
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Instances <= 0 {
		o.Instances = 4 * runtime.GOMAXPROCS(0)
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	code, err := os.ReadFile(o.File)
	if err != nil {
		return err
	}
	if o.Conn == nil {
		if o.Conn, err = servlet.WorkerConn(); err != nil {
			return err
		}
	}
	h := &host{opts: o, out: wire.NewOutbox(o.Conn), streams: make(map[uint32]*stream), slots: make(chan struct{}, o.Instances), events: make(chan struct{}, max(2, o.Instances/4)), welcomed: make(chan struct{})}
	defer h.close(ctx)
	if err := h.compile(ctx, code); err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	first, err := h.instantiate(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	// Its folders are not known before the server has answered, so it only
	// greets.
	err = h.greet(first)
	first.close(ctx)
	if err != nil {
		return err
	}
	return h.read()
}

// host is the process: the module, its instances, and which stream is whose.
type host struct {
	opts  Options
	rt    wazero.Runtime
	cache wazero.CompilationCache
	mod   wazero.CompiledModule

	out *wire.Outbox

	serverWelcome []byte        // the payload as it came
	welcome       []byte        // the frame for each instance
	welcomed      chan struct{} // closed when both are there

	slots chan struct{} // a token for each instance that is in use
	// events is the same for those that tell listeners of something: a request
	// that holds an instance may wait for that, so it must not wait for one
	// of those.
	events chan struct{}

	initMu sync.Mutex // one initialisation at a time
	mu     sync.Mutex
	idle   []*instance        // guarded by mu; most recently used last
	inits  [][]byte           // guarded by mu; payloads of what every instance must do
	stream uint32             // guarded by mu; last stream that a guest was given
	names  int                // guarded by mu; instances made so far
	end    bool               // guarded by mu; no more frames will come
	all    map[*instance]bool // guarded by mu

	streams map[uint32]*stream // guarded by mu
	pool    wire.Pool          // serves roots
}

// stream is where the frames of a stream go.
type stream struct {
	in       *instance // nil while the stream waits for one
	waiting  [][]byte
	canceled bool
}

// compile makes the module ready to be instantiated.
func (h *host) compile(ctx context.Context, code []byte) error {
	cfg := wazero.NewRuntimeConfig().WithMemoryLimitPages(uint32(min(h.opts.Memory/pageSize, 65536)))
	if h.opts.CacheDir != "" {
		c, err := wazero.NewCompilationCacheWithDir(h.opts.CacheDir)
		if err != nil {
			return fmt.Errorf("compilation cache: %w", err)
		}
		h.cache = c
		cfg = cfg.WithCompilationCache(c)
	}
	h.rt = wazero.NewRuntimeWithConfig(ctx, cfg)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, h.rt); err != nil {
		return err
	}
	i32 := api.ValueTypeI32
	_, err := h.rt.NewHostModuleBuilder("serval").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(recv), []api.ValueType{i32, i32, i32}, []api.ValueType{i32}).Export("recv").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(send), []api.ValueType{i32, i32}, nil).Export("send").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(newStream), nil, []api.ValueType{i32}).Export("stream").
		Instantiate(ctx)
	if err != nil {
		return err
	}
	if h.mod, err = h.rt.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), code); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	exports := h.mod.ExportedFunctions()
	for _, name := range []string{"serval_abi", "serval_start", "serval_run"} {
		if exports[name] == nil {
			return fmt.Errorf("the module does not export %s: build it with GOOS=wasip1 GOARCH=wasm -buildmode=c-shared and a main that calls servlet.Main", name)
		}
		if f := exports[name]; len(f.ParamTypes()) != 0 || !slices.Equal(f.ResultTypes(), []api.ValueType{i32}) {
			return fmt.Errorf("the module's %s must have no parameters and one result, an i32", name)
		}
	}
	return nil
}

// greet sends the guest's greeting to the server and waits for the welcome.
func (h *host) greet(first *instance) error {
	var hello wire.Hello
	if err := hello.Decode(first.hello); err != nil {
		return fmt.Errorf("the module's greeting: %w", err)
	}
	hello.Concurrency = uint64(h.opts.Instances)
	hello.Capabilities &^= wire.CapTokens
	if err := h.write(wire.AppendFrame(nil, wire.TypeHello, 0, 0, hello.Append(nil))); err != nil {
		return err
	}
	return nil
}

// write sends whole frames to the server.
func (h *host) write(frame []byte) error { return h.out.Send(frame) }

// read routes the server's frames until the connection ends.
func (h *host) read() error {
	defer h.ended()
	r := bufio.NewReaderSize(h.opts.Conn, 64<<10)
	for {
		head, err := r.Peek(wire.HeaderLen)
		if err != nil {
			if errors.Is(err, io.EOF) && len(head) == 0 {
				return nil
			}
			return err
		}
		hd, err := wire.ParseHeader(head)
		if err != nil {
			return err
		}
		frame := make([]byte, wire.HeaderLen+int(hd.Length))
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		if err := h.route(hd, frame); err != nil {
			return err
		}
	}
}

// ended wakes all that wait for frames.
func (h *host) ended() {
	h.mu.Lock()
	h.end = true
	for in := range h.all {
		in.wake()
	}
	h.mu.Unlock()
}

// close ends the process's part: everything is closed with the runtime, except
// what a guest that does not return holds, which ends with the process.
func (h *host) close(ctx context.Context) {
	_ = h.opts.Conn.Close()
	h.out.Close(wire.ErrClosed)
	if h.rt != nil {
		_ = h.rt.Close(ctx)
	}
	if h.cache != nil {
		_ = h.cache.Close(ctx)
	}
}
