package connector

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

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
