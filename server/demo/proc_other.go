//go:build !unix

package demo

import "os/exec"

// apart does nothing: only Unix has groups of processes.
func apart(*exec.Cmd) {}
