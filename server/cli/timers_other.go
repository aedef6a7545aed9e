//go:build !linux

package cli

// calmTimers is for Linux; elsewhere there is nothing to set.
func calmTimers() {}
