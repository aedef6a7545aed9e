//go:build !unix

package worker

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// socket is the worker's connection: without socket pairs, one socket in a
// folder that only this user can enter, taken by the first who connects.
type socket struct {
	dir string
	l   net.Listener
}

func newSocket(cmd *exec.Cmd) (*socket, error) {
	dir, err := os.MkdirTemp("", "serval-")
	if err != nil {
		return nil, fmt.Errorf("worker's socket: %w", err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("worker's socket: %w", err)
	}
	cmd.Env = append(cmd.Env, servlet.WorkerEnv+"=unix:"+path)
	return &socket{dir: dir, l: l}, nil
}

func (s *socket) connect(exited <-chan struct{}) (io.ReadWriteCloser, error) {
	defer s.abandon()
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := s.l.Accept()
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		return r.c, r.err
	case <-exited:
	case <-time.After(DefaultStartTimeout):
	}
	return nil, fmt.Errorf("the worker did not connect to its socket")
}

func (s *socket) abandon() {
	_ = s.l.Close()
	_ = os.RemoveAll(s.dir)
}
