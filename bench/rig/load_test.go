package rig

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRunTooLong: a load that does not end in time is ended, and the error says so.
func TestRunTooLong(t *testing.T) {
	r := &Rig{Tmp: t.TempDir()}
	r.Load = filepath.Join(r.Tmp, "load")
	if err := os.WriteFile(r.Load, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	late := errors.New("not finished in time")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, late)
	defer cancel()
	if _, err := r.Run(ctx, []string{"http://localhost"}, "1", 0, 0); !errors.Is(err, late) {
		t.Errorf("error %v, want %v", err, late)
	}
}
