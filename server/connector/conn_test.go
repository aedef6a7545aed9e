package connector

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a connection of a listener's whose other side does nothing.
func pipe(t *testing.T, timeout time.Duration) *conn {
	t.Helper()
	here, there := net.Pipe()
	l := newListener(&oneConn{Conn: here}, 0, timeout)
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := accepted.(*conn)
	t.Cleanup(func() {
		_ = c.Close()
		_ = there.Close()
		l.finish()
		l.sweeper.Wait()
	})
	return c
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	net.Listener
	net.Conn
}

func (o *oneConn) Accept() (net.Conn, error) { return o.Conn, nil }
func (o *oneConn) Close() error              { return nil }
func (o *oneConn) Addr() net.Addr            { return nil }

func TestReadDeadlines(t *testing.T) {
	for _, after := range []time.Duration{20 * time.Millisecond, 900 * time.Millisecond, 3 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c := pipe(t, 0)
			start := time.Now()
			if err := c.SetReadDeadline(start.Add(after)); err != nil {
				t.Fatal(err)
			}
			_, err := c.Read(make([]byte, 1))
			if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took < after || took > after+2*sweep {
				t.Errorf("a deadline of %v: %v after %v", after, err, took)
			}
		})
	}
}

// TestDeadlineMoves does what net/http does between two requests: a far deadline,
// none, one in the past to wake a reader, and none again.
func TestDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pipe(t, 0)
		woken := make(chan error, 1)
		for range 3 {
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			_ = c.SetReadDeadline(time.Time{})
			go func() {
				_, err := c.Read(make([]byte, 1))
				woken <- err
			}()
			synctest.Wait()
			_ = c.SetReadDeadline(time.Unix(1, 0))
			if err := <-woken; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a deadline in the past: %v", err)
			}
			_ = c.SetReadDeadline(time.Time{})
		}
		go func() {
			_, err := c.Read(make([]byte, 1))
			woken <- err
		}()
		time.Sleep(10 * time.Minute) // virtual
		select {
		case err := <-woken:
			t.Fatalf("without a deadline: %v", err)
		default:
		}
		_ = c.SetReadDeadline(time.Unix(1, 0))
		if err := <-woken; err == nil {
			t.Error("a deadline in the past: no error")
		}
	})
}

func TestWriteTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{50 * time.Millisecond, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := pipe(t, timeout)
			time.Sleep(time.Hour) // an idle connection is none of its business
			start := time.Now()
			_, err := c.Write([]byte("nobody reads this"))
			if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took < timeout || took > timeout+3*sweep {
				t.Errorf("timeout %v: %v after %v", timeout, err, took)
			}
		})
	}
}
