package connector

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/serval-server/serval/server/config"
)

// listen opens the TCP port or the Unix socket of a connector.
func listen(c config.Connector, path func(string) string) (net.Listener, error) {
	name, unix := c.Address.Unix()
	if !unix {
		l, err := net.Listen("tcp", string(c.Address))
		if err != nil {
			return nil, plainError(err)
		}
		return l, nil
	}
	mode, err := strconv.ParseUint(c.SocketMode, 8, 9)
	if err != nil {
		return nil, fmt.Errorf("socket-mode: %w", err)
	}
	return ListenUnix(path(name), fs.FileMode(mode))
}

// plainError says what a person can do about the two errors that everybody meets.
func plainError(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return err
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another program (choose another address, as with --http :9090): %w", op.Addr, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s must not be used by this user (ports below 1024 may need a privilege): %w", op.Addr, syscall.EACCES)
	}
	return err
}

// ListenUnix opens a Unix socket with the given mode, making its folder if needed. A
// socket that nobody listens on any more is replaced; one that is in use is an error.
func ListenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s exists and is not a socket", path)
		}
		if conn, err := DialUnix(path); err == nil {
			_ = conn.Close() // it was only to see whether somebody is there
			return nil, fmt.Errorf("%s is in use by another server", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, fmt.Errorf("unix socket %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(path))
	}
	return &unixListener{Listener: l, path: path}, nil
}

// DialUnix connects to a Unix socket, also if its path is long.
func DialUnix(path string) (net.Conn, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return net.Dial("unix", short)
}

// maxUnixPath is what fits into sun_path on every system that has Unix sockets.
const maxUnixPath = 100

// shortPath returns another name for a path that is too long for a socket's address:
// through the descriptor of its folder, where the system offers that.
func shortPath(path string) (string, func(), error) {
	if len(path) <= maxUnixPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > maxUnixPath {
		return "", nil, errors.Join(fmt.Errorf("%s is too long for a unix socket (%d bytes, at most %d)", path, len(path), maxUnixPath), dir.Close())
	}
	return short, func() { _ = dir.Close() }, nil
}

// unixListener removes the socket's file when it is closed.
type unixListener struct {
	net.Listener
	path string
	once sync.Once
}

// Close implements net.Listener.
func (l *unixListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { err = errors.Join(err, os.Remove(l.path)) })
	return err
}

// listener bounds the number of open connections, and gives each a write timeout.
type listener struct {
	net.Listener
	slots   chan struct{} // nil for no limit
	timeout time.Duration
	done    chan struct{}
	once    sync.Once
}

func newListener(l net.Listener, maxConns int, writeTimeout time.Duration) *listener {
	n := &listener{Listener: l, timeout: writeTimeout, done: make(chan struct{})}
	if maxConns > 0 {
		n.slots = make(chan struct{}, maxConns)
	}
	return n
}

// Accept waits for a slot first, so that connections beyond the limit wait in the
// system's queue.
func (l *listener) Accept() (net.Conn, error) {
	if l.slots != nil {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	c, err := l.Listener.Accept()
	if err != nil {
		l.release()
		return nil, err
	}
	return &conn{Conn: c, listener: l}, nil
}

func (l *listener) release() {
	if l.slots != nil {
		<-l.slots
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// conn is a connection whose client must take what is written to it within the
// listener's timeout, however much that is.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
	set      atomic.Int64 // when the write deadline was set last, in ns since opened
}

// opened is what the times of all connections count from.
var opened = time.Now()

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(c.listener.release)
	return c.Conn.Close()
}

// deadline gives the client time for the next write. It is moved at most ten
// times per timeout, since moving it costs as much as a small request's parsing;
// a write has nine tenths of the timeout at least.
// CloseWrite lets net/http end its side first, so that a client which is still
// sending can read why it is refused.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) deadline() error {
	timeout := c.listener.timeout
	if timeout <= 0 {
		return nil
	}
	now := time.Since(opened)
	if last := c.set.Load(); last != 0 && now-time.Duration(last) < timeout/10 {
		return nil
	}
	c.set.Store(int64(now))
	return c.SetWriteDeadline(time.Now().Add(timeout))
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.deadline(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// chunk is how much of a file is handed to the kernel under one deadline: at the
// default timeout of 30 s, a client must take some 35 kB a second.
const chunk = 1 << 20

// ReadFrom implements io.ReaderFrom, so that net/http has files sent by the kernel.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	var total int64
	for limited.N > 0 {
		if err := c.deadline(); err != nil {
			return total, err
		}
		part := &io.LimitedReader{R: limited.R, N: min(limited.N, chunk)}
		n, err := rf.ReadFrom(part)
		total += n
		limited.N -= n
		if err != nil || part.N > 0 {
			return total, err
		}
	}
	return total, nil
}
