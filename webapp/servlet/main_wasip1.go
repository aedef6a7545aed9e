//go:build wasip1

package servlet

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// Main is the main function of an application's own program; see the native one.
// In a WebAssembly module (GOOS=wasip1 -buildmode=c-shared) it registers the App
// and greets the server; the host then calls serval_run for each request.
func Main(app App) {
	w := newWorker(app)
	w.inline = true
	guest.conn = wire.NewConn(hostPipe{}, wire.Config{Accept: w.accept, Control: w.control, Pump: true, ReadFrame: readFrame, NextID: hostStream})
	w.conn = guest.conn
	if err := w.conn.SendControl(wire.TypeHello, frameOf(helloOf(app))); err != nil {
		fmt.Fprintln(os.Stderr, "greeting the server:", err)
		os.Exit(1)
	}
}

var guest struct{ conn *wire.Conn }

// The host's functions, see docs/worker-protocol.md.
//
//go:wasmimport serval recv
//go:noescape
func hostRecv(ptr unsafe.Pointer, capacity, timeout int32) int32

//go:wasmimport serval send
//go:noescape
func hostSend(ptr unsafe.Pointer, length int32)

//go:wasmimport serval stream
func hostStreamID() int32

func hostStream() uint32 { return uint32(hostStreamID()) }

//go:linkname mainMain main.main
func mainMain()

// servalABI is the version of the guest interface.
//
//go:wasmexport serval_abi
func servalABI() int32 { return 1 }

// servalStart runs the program's main function, which calls Main.
//
//go:wasmexport serval_start
func servalStart() int32 {
	mainMain()
	if guest.conn == nil {
		fmt.Fprintln(os.Stderr, "the program's main function did not call servlet.Main")
		return 1
	}
	return 0
}

// servalRun handles the frame that waits, and all that belongs to it.
//
//go:wasmexport serval_run
func servalRun() int32 {
	if err := guest.conn.Step(); err != nil {
		fmt.Fprintln(os.Stderr, "serval_run:", err)
		return 1
	}
	return 0
}

// What recv takes as a timeout, and returns beside a length.
const (
	// idle is what readFrame waits at once while other goroutines want to
	// run, in milliseconds: the host's function blocks them all.
	idle = 1
	// forever lets it wait for a frame.
	forever = -1
	// gone is what recv returns when there will be no more frames.
	gone = -2
	// late is what it returns when there was none in time.
	late = -1
)

// readFrame waits for a frame, see wire.Config.
func readFrame(p []byte) (int, error) {
	for {
		timeout := int32(forever)
		if runtime.NumGoroutine() > 1 {
			runtime.Gosched()
			timeout = idle
		}
		n := hostRecv(unsafe.Pointer(unsafe.SliceData(p)), int32(len(p)), timeout)
		switch {
		case n >= 0:
			return int(n), nil
		case n != late:
			return 0, io.EOF
		}
	}
}

// hostPipe is the way to the host. Each Write is one frame.
type hostPipe struct{}

// Read implements io.Reader; frames are read by readFrame.
func (hostPipe) Read([]byte) (int, error) { return 0, io.EOF }

// Write implements io.Writer.
func (hostPipe) Write(p []byte) (int, error) {
	hostSend(unsafe.Pointer(unsafe.SliceData(p)), int32(len(p)))
	return len(p), nil
}

// Close implements io.Closer.
func (hostPipe) Close() error { return nil }
