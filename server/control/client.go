package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/serval-server/serval/deploy"
)

// ErrNotRunning is what commands return if nobody listens on the socket.
var ErrNotRunning = errors.New("no server is running here")

// Client commands the server behind a socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client for a socket, which dial connects to.
func NewClient(socket string, dial func(socket string) (net.Conn, error)) *Client {
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dial(socket) },
	}}}
}

// Status asks how the server is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.do(ctx, http.MethodGet, "status", nil, &s)
}

// Apps asks for the applications of all hosts.
func (c *Client) Apps(ctx context.Context) ([]deploy.AppInfo, error) {
	var apps []deploy.AppInfo
	return apps, c.do(ctx, http.MethodGet, "apps", nil, &apps)
}

// Deploy has a bundle copied into a host's app base and deployed.
func (c *Client) Deploy(ctx context.Context, r Request) (deploy.AppInfo, error) {
	var info deploy.AppInfo
	return info, c.do(ctx, http.MethodPost, "deploy", r, &info)
}

// Reload has an application replaced by a new generation of itself.
func (c *Client) Reload(ctx context.Context, r Request) (deploy.AppInfo, error) {
	var info deploy.AppInfo
	return info, c.do(ctx, http.MethodPost, "reload", r, &info)
}

// Undeploy has an application stopped and its files removed.
func (c *Client) Undeploy(ctx context.Context, r Request) error {
	return c.do(ctx, http.MethodPost, "undeploy", r, nil)
}

// send sends a command. The answer is no error, and the caller closes its body.
func (c *Client) send(ctx context.Context, method, command string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://serval/v1/"+command, body)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w (%s)", ErrNotRunning, c.socket)
	}
	if err != nil || res.StatusCode < 400 {
		return res, err
	}
	defer res.Body.Close()
	var e struct {
		Error string `json:"error"`
	}
	_ = json.NewDecoder(res.Body).Decode(&e) // without a message the status says what there is to say
	return nil, errors.New(cmp.Or(e.Error, res.Status))
}

func (c *Client) do(ctx context.Context, method, command string, in, out any) error {
	res, err := c.send(ctx, method, command, in)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return nil
}
