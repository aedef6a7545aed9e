//go:build !linux

package transport

// yieldProcessor is for Linux, whose scheduler lets a busy thread finish its slice of
// some milliseconds although others have woken.
func yieldProcessor() {}
