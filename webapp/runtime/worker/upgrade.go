package worker

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// upgrade hands the client's connection to the application and carries its bytes
// until either side ends it. True: the request is over.
func (ex *exchange) upgrade(c *wire.Call) bool {
	if c.Status != 0 {
		ex.putHeader(c.Header)
		ex.w.WriteHeader(c.Status)
	}
	conn, rw, err := http.NewResponseController(ex.w).Hijack()
	if err != nil {
		ex.reply(c, nil, err)
		return false
	}
	_ = conn.SetDeadline(time.Time{}) // those of the request do not bind the application
	ex.reply(c, nil, nil)
	var wg sync.WaitGroup
	wg.Go(func() { ex.fromClient(rw.Reader) })
	ex.toClient(conn)
	_ = conn.Close() // ends fromClient
	wg.Wait()
	return true
}

// fromClient carries what the client sends to the application.
func (ex *exchange) fromClient(r *bufio.Reader) {
	b := make([]byte, wire.MaxData)
	for {
		n, err := r.Read(b)
		if n > 0 && ex.s.SendData(ex.ctx(), 0, b[:n]) != nil {
			return
		}
		if err != nil {
			f := wire.NewFrame()
			var m wire.Response
			_ = ex.s.Send(wire.TypeEnd, wire.FlagEnd, f.Set(m.Append(f.Bytes()))) // the application may have ended it first
			return
		}
	}
}

// toClient carries what the application sends until it ends the stream.
func (ex *exchange) toClient(conn net.Conn) {
	var w io.Writer = conn
	for {
		m, err := ex.s.Recv(ex.ctx())
		if err != nil {
			return
		}
		if m.Type == wire.TypeCall {
			ex.call(m)
			continue
		}
		end := m.End()
		if m.Type == wire.TypeData {
			n := len(m.Payload)
			if _, err := w.Write(m.Payload); err != nil {
				w = io.Discard // it will be told by the end of its input
				_ = conn.Close()
			}
			_ = ex.s.Consumed(n) // the connection's end is seen by Recv
		}
		m.Free()
		if end {
			return
		}
	}
}
