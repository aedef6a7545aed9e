//go:build unix

package connector

import (
	"errors"
	"net"
	"syscall"
)

// canWatch says that gone can tell.
const canWatch = true

// gone reports that nothing more will come from the peer. It takes nothing away from
// what is to be read, and does not wait.
func gone(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	var peek error
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		// The socket does not block, as all of package net.
		n, _, peek = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	})
	switch {
	case err != nil:
		return true // it is closed
	case peek == nil:
		return n == 0
	}
	return !errors.Is(peek, syscall.EAGAIN) && !errors.Is(peek, syscall.EINTR)
}
