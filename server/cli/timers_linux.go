package cli

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// usualSlack is how late Linux may wake a thread from a sleep when nobody has said
	// otherwise, in nanoseconds; see prctl(2), PR_SET_TIMERSLACK.
	usualSlack = 50_000
	// serverSlack is what a server takes: Go's monitoring thread asks for sleeps of 20 µs
	// while there is work, and with the usual slack each process wakes up some 13,000
	// times a second for it: a fifth of the CPU time of a replicated request (bench/compare,
	// count, three nodes on two processors). Timers of a server lose nothing: Go's
	// runtime waits for them in whole milliseconds anyway.
	serverSlack = 1_000_000
	// slackTried is set for the second start, so that there is never a third.
	slackTried = "SERVAL_TIMER_SLACK_TRIED"
)

// calmTimers makes timers of this process cheaper. The runtime's threads, which
// exist already, take over what the process had when it was started: so it starts
// itself once more, in the same process. A slack that somebody has chosen (systemd's
// TimerSlackNSec) stays, and so does all if something is not as expected.
func calmTimers() {
	if os.Getenv(slackTried) != "" {
		_ = os.Unsetenv(slackTried) // not for workers; fails for names only that are none
		return
	}
	if slack() != usualSlack {
		return
	}
	exe, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread() // the slack is this thread's until all are started by it
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, serverSlack, 0, 0, 0) != nil {
		return
	}
	_ = syscall.Exec(exe, os.Args, append(os.Environ(), slackTried+"=1")) // if it returns, things go on as they were
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usualSlack, 0, 0, 0)
}

// slack is this thread's, in nanoseconds; -1 if it is not known.
func slack() int {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return -1
	}
	return n
}
