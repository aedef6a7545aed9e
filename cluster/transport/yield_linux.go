package transport

import "syscall"

// yieldProcessor lets threads of other processes run that have woken: Linux would let this
// one finish its slice of some milliseconds before. Go's runtime takes it for running
// meanwhile, so it must not hold a lock that a request waits for.
func yieldProcessor() { _, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
