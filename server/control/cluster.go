package control

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/serval-server/serval/cluster"
)

// ClusterBackend is what a server can do about its cluster. All of it fails, with an
// error that says so, on a server that is in none.
type ClusterBackend interface {
	// ClusterStatus asks all nodes.
	ClusterStatus(ctx context.Context) ([]cluster.Status, error)
	// Copies are the sessions that this node knows.
	Copies() ([]cluster.Copy, error)
	// NodeStatus is what this node knows, which costs the others nothing.
	NodeStatus() (cluster.Status, error)
	// SetCache changes a cache's settings on all nodes and returns them.
	SetCache(ctx context.Context, name string, change cluster.CacheChange) (cluster.CacheStatus, error)
	// SetReplication switches replication on all nodes: for the application at a
	// path of a host ("": the default host), or for all if the path is "".
	SetReplication(ctx context.Context, host, path string, on bool) error
	// Drain hands the node's sessions over, and tells how many are left.
	Drain(ctx context.Context, progress func(left int)) error
}

// CacheRequest is the body of the command cache.
type CacheRequest struct {
	Name   string              `json:"name"`
	Change cluster.CacheChange `json:"change"`
}

// ReplicationRequest is the body of the command replication.
type ReplicationRequest struct {
	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"` // "": all applications
	On   bool   `json:"on"`
}

// DrainProgress is a line of the answer to the command drain: how many sessions are
// left, and in the last line that it is done, or why not.
type DrainProgress struct {
	Left  int    `json:"left"`
	Done  bool   `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
}

// clusterRoutes adds the commands about the cluster.
func (h *handler) clusterRoutes(r chi.Router) {
	r.Get("/v1/cluster", func(w http.ResponseWriter, r *http.Request) {
		nodes, err := h.b.ClusterStatus(r.Context())
		respond(w, nodes, err)
	})
	r.Get("/v1/copies", func(w http.ResponseWriter, _ *http.Request) {
		copies, err := h.b.Copies()
		respond(w, copies, err)
	})
	r.Get("/v1/cluster/node", func(w http.ResponseWriter, _ *http.Request) {
		node, err := h.b.NodeStatus()
		respond(w, node, err)
	})
	r.Post("/v1/cache", func(w http.ResponseWriter, r *http.Request) {
		var c CacheRequest
		if !decode(w, r, &c) {
			return
		}
		res, err := h.b.SetCache(context.WithoutCancel(r.Context()), c.Name, c.Change)
		h.log.Info("command", "command", r.URL.Path, "cache", c.Name, "error", err)
		respond(w, res, err)
	})
	r.Post("/v1/replication", func(w http.ResponseWriter, r *http.Request) {
		var c ReplicationRequest
		if !decode(w, r, &c) {
			return
		}
		err := h.b.SetReplication(context.WithoutCancel(r.Context()), c.Host, c.Path, c.On)
		h.log.Info("command", "command", r.URL.Path, "host", c.Host, "path", c.Path, "on", c.On, "error", err)
		respond(w, struct{}{}, err)
	})
	r.Post("/v1/drain", h.drain)
}

// drain answers with a line each time that it has news. A client that goes away does
// not stop it.
func (h *handler) drain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	rc, lines := http.NewResponseController(w), json.NewEncoder(w)
	left := 0
	err := h.b.Drain(context.WithoutCancel(r.Context()), func(n int) {
		left = n
		_ = errors.Join(lines.Encode(DrainProgress{Left: n}), rc.Flush()) // a client that has gone needs no answer
	})
	h.log.Info("command", "command", r.URL.Path, "left", left, "error", err)
	last := DrainProgress{Left: left, Done: err == nil}
	if err != nil {
		last.Error = err.Error()
	}
	_ = lines.Encode(last) // see above
}

// decode reads the body of a command; false: it has answered with what is wrong.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		fail(w, http.StatusBadRequest, "the request is not what was expected: "+err.Error())
		return false
	}
	return true
}

func respond(w http.ResponseWriter, v any, err error) {
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	answer(w, http.StatusOK, v)
}

// Cluster asks how all nodes of the cluster are.
func (c *Client) Cluster(ctx context.Context) ([]cluster.Status, error) {
	var nodes []cluster.Status
	return nodes, c.do(ctx, http.MethodGet, "cluster", nil, &nodes)
}

// Copies asks which sessions this node alone knows.
func (c *Client) Copies(ctx context.Context) ([]cluster.Copy, error) {
	var copies []cluster.Copy
	return copies, c.do(ctx, http.MethodGet, "copies", nil, &copies)
}

// Node asks what the node knows by itself.
func (c *Client) Node(ctx context.Context) (cluster.Status, error) {
	var node cluster.Status
	return node, c.do(ctx, http.MethodGet, "cluster/node", nil, &node)
}

// SetCache changes a cache's settings in the whole cluster.
func (c *Client) SetCache(ctx context.Context, r CacheRequest) (cluster.CacheStatus, error) {
	var now cluster.CacheStatus
	return now, c.do(ctx, http.MethodPost, "cache", r, &now)
}

// SetReplication switches replication in the whole cluster.
func (c *Client) SetReplication(ctx context.Context, r ReplicationRequest) error {
	return c.do(ctx, http.MethodPost, "replication", r, nil)
}

// Drain has the node hand its sessions over, and calls progress, which may be nil,
// with how many are left.
func (c *Client) Drain(ctx context.Context, progress func(left int)) error {
	res, err := c.send(ctx, http.MethodPost, "drain", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		var p DrainProgress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		switch {
		case p.Error != "":
			return errors.New(p.Error)
		case p.Done:
			return nil
		case progress != nil:
			progress(p.Left)
		}
	}
	return cmp.Or(lines.Err(), errors.New("the server ended before its sessions were handed over"))
}
