//go:build unix

package demo

import (
	"os/exec"
	"syscall"
)

// apart gives a process a group of its own, so that Ctrl-C on the terminal is for
// the demo alone.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
