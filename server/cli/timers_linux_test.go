package cli

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// calm SLACK ARGS... is what serval run does first, started with that slack, in
// nanoseconds; it says what has become of it.
func init() {
	programs["calm"] = func() {
		runtime.LockOSThread()
		if os.Getenv(slackTried) == "" {
			ns, err := strconv.Atoi(os.Args[1])
			if err == nil {
				err = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0)
			}
			if err != nil {
				fail(err)
			}
		}
		calmTimers()
		_, tried := os.LookupEnv(slackTried)
		fmt.Println(os.Getpid(), os.Args[1:], "slack", slack(), "tried", tried)
	}
}
