package worker

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr puts the child into a process group of its own, so that a
// terminal's interrupt reaches the server alone, and has the kernel kill it with
// the thread that started it.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitMemory sets the hard bound of the process's data, well above the limit
// that is watched: it stops what grows faster than the watch looks.
func limitMemory(pid int, memory int64, log *slog.Logger) {
	if memory <= 0 {
		return
	}
	hard := uint64(memory)*2 + 512<<20 // Go reserves its heap in pieces of 64 MiB
	lim := unix.Rlimit{Cur: hard, Max: hard}
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &lim, nil); err != nil {
		log.Warn("memory limit is only watched", "error", err)
	}
}

// residentMemory is the process's resident set, in bytes.
func residentMemory(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0, fmt.Errorf("unexpected statm %q", b)
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
