//go:build unix

package source

import (
	"os/exec"
	"syscall"
)

// ownGroup has a cancelled build end with all its compilers.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
