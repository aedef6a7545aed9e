//go:build unix

package worker

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"github.com/serval-server/serval/webapp/servlet"
)

// socket is the worker's connection: on Unix a pair, one end of which the child
// inherits as file descriptor 3.
type socket struct {
	ours   net.Conn
	theirs *os.File
}

func newSocket(cmd *exec.Cmd) (*socket, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("worker's socket: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "worker")
	ours, err := net.FileConn(f)
	_ = f.Close() // FileConn has duplicated it
	theirs := os.NewFile(uintptr(fds[1]), "server")
	if err != nil {
		_ = theirs.Close()
		return nil, fmt.Errorf("worker's socket: %w", err)
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(cmd.Env, servlet.WorkerEnv+"=fd:3")
	return &socket{ours: ours, theirs: theirs}, nil
}

// connect is called after the child has started.
func (s *socket) connect(<-chan struct{}) (io.ReadWriteCloser, error) {
	return s.ours, s.theirs.Close()
}

// abandon is called instead of connect.
func (s *socket) abandon() {
	_ = s.theirs.Close()
	_ = s.ours.Close()
}
