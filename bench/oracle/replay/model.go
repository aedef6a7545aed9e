// Package replay sends the cases of a recording to a running server and says
// what is answered otherwise.
//
// A recording is a JSON file (gzipped or not) of one of eight forms, which are
// told apart by their members and not by their names. It describes
// deployments (a virtual host with its applications) and the requests that
// were sent to them with what a Tomcat answered. Each form has its own file
// here; what they share is the model, the comparison and the Difference that
// comes out: one for each property of an answer that is not as recorded.
package replay

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// App is one web application of a deployment.
type App struct {
	Name        string          `json:"name"`
	ContextPath string          `json:"contextPath"`
	Version     string          `json:"version"`
	WebXML      *string         `json:"webxml"`
	ContextXML  string          `json:"contextxml"`
	Files       map[string]File `json:"files"`
	Deploy      string          `json:"deploy"` // "ok", "failed", or "" (not recorded)
	Cases       []dispatchCase  `json:"cases"`

	got string // how it started here
}

// Dir is the name of the application's folder in its host's application base.
func (a *App) Dir() string {
	n := "ROOT"
	if a.ContextPath != "" {
		n = strings.ReplaceAll(strings.TrimPrefix(a.ContextPath, "/"), "/", "#")
	}
	if a.Version != "" {
		n += "##" + a.Version
	}
	return n
}

// File is the content of a file: a JSON string, or {"b64": …}.
type File []byte

// UnmarshalJSON accepts both forms.
func (f *File) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*f = File(s)
		return nil
	}
	var o struct {
		B64 string `json:"b64"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	d, err := base64.StdEncoding.DecodeString(o.B64)
	*f = d
	return err
}

// Deployment is one virtual host with its applications.
type Deployment struct {
	ID    string    `json:"id"`
	Apps  []*App    `json:"apps"`
	Cases []summary `json:"cases"`
}

// Recording is a decoded file.
type Recording struct {
	Name        string                    `json:"-"` // base name without extensions
	Deployments []*Deployment             `json:"deployments"`
	Profiles    map[string]map[string]any `json:"profiles"`
	Connectors  map[string]map[string]any `json:"connectors"`
	Marker      string                    `json:"marker"`
	Cases       json.RawMessage           `json:"cases"`

	QuietSeconds float64 `json:"quiet_seconds"`
	PieceDelay   float64 `json:"piece_delay_seconds"`

	Host          string          `json:"host"`
	SessionCookie []cookieApp     `json:"session_cookie"`
	Incoming      *incoming       `json:"incoming"`
	Response      *responseSet    `json:"response"`
	StartupLog    []string        `json:"startup_log"`
	ShutdownLog   []string        `json:"shutdown_log"`
	RestartLog    []string        `json:"restart_log"`
	Users         map[string]user `json:"users"`
	Who           []*string       `json:"who"`
	Results       []securityApp   `json:"results"`
	Authorization *authorization  `json:"authorization_headers"`
	FormFlow      *formFlow       `json:"form_flow"`
	RedirectPort  int             `json:"redirectPort"`

	form form
}

type form string

const (
	formMapping  form = "mapping"
	formPaths    form = "paths"
	formStatic   form = "static"
	formDispatch form = "dispatch"
	formCookies  form = "cookies"
	formSessions form = "sessions"
	formSecurity form = "security"
	formHTTP     form = "http"
)

// Load reads a recording and finds out which form it has.
func Load(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	rec := &Recording{Name: strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".json")}
	if err := json.NewDecoder(r).Decode(rec); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if rec.form, err = rec.detect(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rec, nil
}

// detect tells the form from the members that only it has.
func (rec *Recording) detect() (form, error) {
	switch {
	case rec.Results != nil:
		return formSecurity, nil
	case rec.SessionCookie != nil || rec.Incoming != nil:
		return formCookies, nil
	}
	var cases []map[string]json.RawMessage
	if rec.Cases != nil {
		if err := json.Unmarshal(rec.Cases, &cases); err != nil {
			return "", fmt.Errorf("cases: %w", err)
		}
	}
	for _, c := range cases {
		for member, f := range map[string]form{"send_b64": formHTTP, "profile": formPaths, "grp": formStatic, "app": formSessions} {
			if c[member] != nil {
				return f, nil
			}
		}
	}
	for _, d := range rec.Deployments {
		if d.Cases != nil {
			return formMapping, nil
		}
		for _, a := range d.Apps {
			if a.Cases != nil {
				return formDispatch, nil
			}
		}
	}
	return "", fmt.Errorf("not a recording: it has no cases of a known form")
}

// app finds an application by its context path in any deployment.
func (rec *Recording) app(contextPath string) *App {
	for _, d := range rec.Deployments {
		for _, a := range d.Apps {
			if a.ContextPath == contextPath {
				return a
			}
		}
	}
	return &App{}
}

// owner is the application of the longest context path that begins a target,
// the root application if none does; nil if there is none.
func (d *Deployment) owner(target string) *App {
	var best *App
	for _, a := range d.Apps {
		rest, ok := strings.CutPrefix(target, a.ContextPath)
		if ok && (rest == "" || strings.ContainsAny(rest[:1], "/?;")) && (best == nil || len(a.ContextPath) > len(best.ContextPath)) {
			best = a
		}
	}
	return best
}

// host is the virtual host of recordings that have a single deployment.
func (rec *Recording) host() string {
	if rec.Host != "" {
		return rec.Host
	}
	if len(rec.Deployments) == 0 {
		return "localhost"
	}
	return rec.Deployments[0].ID
}
