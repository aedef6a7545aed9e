//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package arena

import "syscall"

func mapMemory(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

// unmap cannot fail for what mapMemory returned.
func unmap(b []byte) { _ = syscall.Munmap(b) }
