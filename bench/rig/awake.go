package rig

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

// filler spins, and lets everything else go first: in its class, and in its group
// where the kernel groups processes by session.
const filler = `echo 19 >/proc/self/autogroup 2>/dev/null; exec chrt --idle 0 sh -c 'while :; do :; done'`

// Awake keeps the CPUs from halting until stop is called, by a process for each that
// spins whenever nothing else wants to run. On a virtual machine whoever wakes a CPU
// that has halted pays for the hypervisor's work, some microseconds each time: more
// than a request costs, and other on each host. Programs that hand over from thread
// to thread pay most. With CPUs that are awake what is measured is the programs.
func Awake(ctx context.Context) (stop func(), err error) {
	if _, err := exec.LookPath("chrt"); err != nil {
		return nil, fmt.Errorf("keeping the CPUs awake: %w (Debian: util-linux)", err)
	}
	var fillers []*exec.Cmd
	stop = func() {
		for _, c := range fillers {
			_ = c.Process.Kill()
			_ = c.Wait() // it was killed
		}
	}
	for range runtime.NumCPU() {
		c := exec.CommandContext(ctx, "sh", "-c", filler)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			stop()
			return nil, fmt.Errorf("keeping the CPUs awake: %w", err)
		}
		fillers = append(fillers, c)
	}
	return stop, nil
}
