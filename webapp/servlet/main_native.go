//go:build !wasip1

package servlet

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
)

// Main is the main function of an application's own program: it serves the App
// to the server that has started the process, and ends with it.
//
//	func main() { servlet.Main(shop.App) }
//
// Built with GOOS=wasip1 -buildmode=c-shared, the same program is a WebAssembly
// module that "serval worker" runs; Main then only registers the App.
func Main(app App) {
	rw, err := WorkerConn()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	paceGC()
	if err := ServeWorker(rw, app); err != nil {
		fmt.Fprintln(os.Stderr, "serval worker:", err)
		os.Exit(1)
	}
}

// WorkerConn opens the connection to the server that WorkerEnv names, for
// ServeWorker, and takes the variable out of the environment.
func WorkerConn() (io.ReadWriteCloser, error) {
	rw, err := workerConn(os.Getenv(WorkerEnv))
	if err != nil {
		return nil, err
	}
	_ = os.Unsetenv(WorkerEnv) // not for the children of the application
	// A terminal's interrupt goes to the whole foreground group; it is the
	// server that decides when its workers end.
	signal.Ignore(os.Interrupt)
	return rw, nil
}

// workerConn opens the connection that the variable names.
func workerConn(spec string) (io.ReadWriteCloser, error) {
	kind, where, _ := strings.Cut(spec, ":")
	switch kind {
	case "":
		return nil, fmt.Errorf("this program is an application of the Serval web server and does not run by itself: "+
			"put its bundle into the server's webapps folder (%s is not set)", WorkerEnv)
	case "fd":
		n, err := strconv.Atoi(where)
		if err != nil || n < 3 {
			return nil, fmt.Errorf("%s=%s: not a file descriptor above 2", WorkerEnv, spec)
		}
		f := os.NewFile(uintptr(n), "server")
		c, err := net.FileConn(f)
		if err != nil {
			return nil, fmt.Errorf("%s=%s: %w", WorkerEnv, spec, err)
		}
		_ = f.Close() // FileConn has duplicated it
		return c, nil
	case "unix":
		c, err := net.Dial("unix", where)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", WorkerEnv, err)
		}
		return c, nil
	}
	return nil, fmt.Errorf("%s=%s: want fd:N or unix:PATH", WorkerEnv, spec)
}
