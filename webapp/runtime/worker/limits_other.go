//go:build !linux

package worker

import (
	"errors"
	"log/slog"
	"syscall"
)

func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func limitMemory(_ int, memory int64, log *slog.Logger) {
	if memory > 0 {
		log.Warn("memory limit is left to the Go runtime of the worker on this system")
	}
}

func residentMemory(int) (int64, error) { return 0, errors.ErrUnsupported }
