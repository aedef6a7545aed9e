package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// profiler serves net/http/pprof on a listener of its own, for `go tool pprof`.
// It has no credentials, so it listens on loopback addresses only.
type profiler struct {
	server *http.Server
	done   chan struct{}
}

// startProfiler listens on addr, HOST:PORT with a loopback host or none (which
// then is 127.0.0.1). The error says what is allowed.
func startProfiler(addr string, log *slog.Logger) (*profiler, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--pprof %s: want HOST:PORT on a loopback address, such as localhost:6060", addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--pprof %s: profiles are served on loopback addresses only, such as localhost:6060 (use ssh -L to reach them from elsewhere)", addr)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("--pprof %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	p := &profiler{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(p.done)
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("profiles are no longer served", "error", err)
		}
	}()
	log.Info("profiles are served", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return p, nil
}

// stop ends it, running profiles included.
func (p *profiler) stop() {
	if p == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.server.Shutdown(ctx) // the context has ended: closes the listener
	_ = p.server.Close()
	<-p.done
}
