package servlet

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/serval-server/serval/webapp/servlet/wire"
)

// wireHandler is a slog.Handler that sends records to the server, which puts
// them into the application's log.
type wireHandler struct {
	conn   *wire.Conn
	attrs  []string // keys and values that With has added
	prefix string   // of keys, from WithGroup
}

func newWireLogger(c *wire.Conn) *slog.Logger { return slog.New(&wireHandler{conn: c}) }

// maxLogText keeps one record well inside a frame.
const maxLogText = 64 << 10

// Enabled implements slog.Handler. The server decides what it keeps; debug
// records are not sent, so that they cost nothing.
func (h *wireHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h *wireHandler) Handle(_ context.Context, r slog.Record) error {
	m := wire.Log{Level: int64(r.Level), Nanos: r.Time.UnixNano(), Message: cut(r.Message)}
	m.Attrs = append(m.Attrs, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		m.Attrs = appendAttr(m.Attrs, h.prefix, a)
		return len(m.Attrs) < 256
	})
	return h.conn.SendControl(wire.TypeLog, frameOf(&m))
}

// WithAttrs implements slog.Handler.
func (h *wireHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := &wireHandler{conn: h.conn, prefix: h.prefix, attrs: append([]string(nil), h.attrs...)}
	for _, a := range attrs {
		n.attrs = appendAttr(n.attrs, h.prefix, a)
	}
	return n
}

// WithGroup implements slog.Handler.
func (h *wireHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &wireHandler{conn: h.conn, attrs: h.attrs, prefix: h.prefix + name + "."}
}

func appendAttr(list []string, prefix string, a slog.Attr) []string {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			list = appendAttr(list, prefix, g)
		}
		return list
	}
	if a.Key == "" {
		return list
	}
	return append(list, prefix+a.Key, cut(v.String()))
}

func cut(s string) string {
	if len(s) > maxLogText {
		return s[:maxLogText] + "... (" + strconv.Itoa(len(s)) + " bytes)"
	}
	return s
}
