package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/serval-server/serval/deploy"
)

// Backend is the server that is commanded.
type Backend interface {
	Status() Status
	Apps() []deploy.AppInfo
	// Host finds a host by name; "" is the default host.
	Host(name string) (deploy.Manager, bool)
	ClusterBackend
}

// Status describes a running server.
type Status struct {
	Version    string      `json:"version"`
	PID        int         `json:"pid"`
	Node       string      `json:"node"`
	Home       string      `json:"home"`
	Config     string      `json:"config"`
	Started    time.Time   `json:"started"`
	Stopping   bool        `json:"stopping"`
	Connectors []Connector `json:"connectors"`
	Hosts      []string    `json:"hosts"`
	Apps       int         `json:"apps"`
}

// Connector describes one address that the server listens on.
type Connector struct {
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Address   string   `json:"address"`
	Protocols []string `json:"protocols"`
}

// Request is the body of a command.
type Request struct {
	Host    string `json:"host,omitempty"`
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"`
	Bundle  string `json:"bundle,omitempty"`
	Name    string `json:"name,omitempty"`
}

// maxRequest bounds a command.
const maxRequest = 64 << 10

// Server answers commands.
type Server struct {
	http     *http.Server
	listener net.Listener
	wait     sync.WaitGroup
}

// NewServer makes a server for a socket that is open already.
func NewServer(l net.Listener, b Backend, logger *slog.Logger) *Server {
	return &Server{listener: l, http: &http.Server{
		Handler: Handler(b, logger), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
}

// Start starts to answer.
func (s *Server) Start() { s.wait.Go(func() { _ = s.http.Serve(s.listener) }) } // ends with Close

// Close ends open commands too.
func (s *Server) Close() error {
	err := s.http.Close()
	if e := s.listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	s.wait.Wait()
	return err
}

// Handler is the protocol as an http.Handler.
func Handler(b Backend, logger *slog.Logger) http.Handler {
	h := &handler{b: b, log: logger}
	r := chi.NewRouter()
	r.Get("/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, b.Status()) })
	r.Get("/v1/apps", func(w http.ResponseWriter, _ *http.Request) {
		apps := b.Apps()
		if apps == nil {
			apps = []deploy.AppInfo{}
		}
		answer(w, http.StatusOK, apps)
	})
	r.Post("/v1/deploy", h.command(func(ctx context.Context, m deploy.Manager, c Request) (any, error) {
		if !filepath.IsAbs(c.Bundle) {
			return nil, fmt.Errorf("bundle: %q is not an absolute name", c.Bundle)
		}
		return m.Deploy(ctx, c.Bundle, c.Name)
	}))
	r.Post("/v1/reload", h.command(func(ctx context.Context, m deploy.Manager, c Request) (any, error) {
		return m.Reload(ctx, deploy.MakeName(c.Path, c.Version))
	}))
	r.Post("/v1/undeploy", h.command(func(ctx context.Context, m deploy.Manager, c Request) (any, error) {
		return struct{}{}, m.Undeploy(ctx, deploy.MakeName(c.Path, c.Version))
	}))
	h.clusterRoutes(r)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { fail(w, http.StatusNotFound, "no command "+r.URL.Path) })
	return r
}

type handler struct {
	b   Backend
	log *slog.Logger
}

// command decodes a request, finds its host and runs it.
func (h *handler) command(run func(context.Context, deploy.Manager, Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c Request
		if !decode(w, r, &c) {
			return
		}
		m, ok := h.b.Host(c.Host)
		if !ok {
			fail(w, http.StatusNotFound, fmt.Sprintf("no host %q", c.Host))
			return
		}
		// A client that goes away does not stop what it has begun.
		res, err := run(context.WithoutCancel(r.Context()), m, c)
		h.log.Info("command", "command", r.URL.Path, "host", c.Host, "path", c.Path, "bundle", c.Bundle, "error", err)
		respond(w, res, err)
	}
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
