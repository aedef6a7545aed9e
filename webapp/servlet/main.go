package servlet

import (
	"errors"
	"fmt"
	"io"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// WorkerEnv is the environment variable by which the server tells a worker
// where its connection is: "fd:3" is an inherited Unix socket, "unix:PATH" a
// socket to connect to.
const WorkerEnv = "SERVAL_WORKER"

// sdkName is what a worker calls itself in its greeting.
const sdkName = "serval-go/1"

// ServeWorker serves an App over a connection to the server until the
// connection ends, and closes it. It is what Main does with the socket that the
// server gave the process; a program that gets its connection in another way
// can call it. The error is nil if the server has closed the connection.
func ServeWorker(rw io.ReadWriteCloser, app App) error {
	w := newWorker(app)
	w.conn = wire.NewConn(rw, wire.Config{Accept: w.accept, Control: w.control})
	defer w.conn.Close(nil)
	hello := helloOf(app)
	hello.Capabilities |= wire.CapTokens
	if err := w.conn.SendControl(wire.TypeHello, frameOf(hello)); err != nil {
		return fmt.Errorf("greeting the server: %w", err)
	}
	h, m, err := w.conn.Read(wire.MaxPayload)
	if err != nil {
		return fmt.Errorf("waiting for the server's welcome: %w", err)
	}
	if h.Type != wire.TypeWelcome || h.Stream != 0 {
		return fmt.Errorf("the server answered %s to a greeting", h.Type)
	}
	if err := w.control(m); err != nil {
		return err
	}
	err = w.conn.Run()
	w.requests.Wait()
	w.pool.Close()
	if errors.Is(err, io.EOF) || w.stopped.Load() {
		return nil
	}
	return err
}

func helloOf(app App) *wire.Hello {
	c := ComponentsOf(app)
	h := &wire.Hello{Min: wire.Protocol, Max: wire.Protocol, Program: sdkName}
	for _, n := range c.Servlets {
		h.Components = append(h.Components, wire.Component{Kind: wire.Servlet, Name: n})
	}
	for _, n := range c.Filters {
		h.Components = append(h.Components, wire.Component{Kind: wire.Filter, Name: n})
	}
	for _, n := range sortedKeys(c.Listeners) {
		h.Components = append(h.Components, wire.Component{Kind: wire.Listener, Name: n, Traits: uint64(c.Listeners[n])})
	}
	for _, n := range c.Policies {
		h.Components = append(h.Components, wire.Component{Kind: wire.Policy, Name: n})
	}
	if c.Binding {
		h.Capabilities |= wire.CapBinding
	}
	if c.Activation {
		h.Capabilities |= wire.CapActivation
	}
	return h
}

// appender is a message of the protocol.
type appender interface{ Append([]byte) []byte }

func frameOf(m appender) wire.Frame {
	f := wire.NewFrame()
	return f.Set(m.Append(f.Bytes()))
}
