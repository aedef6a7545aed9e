package membership

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
)

// logWriter takes memberlist's lines, "2026/11/30 10:00:00 [INFO] memberlist: …",
// to the logger, all at debug level: what an operator should know of is logged by
// this package. It also counts the suspicions, which memberlist tells nobody else.
type logWriter struct {
	logger    *slog.Logger
	suspected atomic.Int64 // nodes that did not answer this node's probes
	refuted   atomic.Int64 // times that this node was suspected and said no
}

func (w *logWriter) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	level := "INFO"
	if i := bytes.IndexByte(text, '['); i >= 0 {
		if j := bytes.IndexByte(text[i:], ']'); j > 0 {
			level, text = string(text[i+1:i+j]), bytes.TrimSpace(text[i+j+1:])
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	switch {
	case bytes.HasPrefix(text, []byte("Suspect ")):
		w.suspected.Add(1)
	case bytes.HasPrefix(text, []byte("Refuting a ")):
		w.refuted.Add(1)
	}
	w.logger.LogAttrs(context.Background(), slog.LevelDebug, string(text), slog.String("memberlist", level))
	return len(line), nil
}
