package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/serval-server/serval/bench/oracle/wire"
)

// dispatchCase is a request to an application of a dispatch recording.
type dispatchCase struct {
	M            string                     `json:"m"`
	T            string                     `json:"t"`
	RH           [][2]string                `json:"rh"`
	RB           string                     `json:"rb"`
	S            int                        `json:"s"`
	B            *string                    `json:"b"`
	H            map[string]json.RawMessage `json:"h"`
	FR           *string                    `json:"fr"`
	DefaultError json.RawMessage            `json:"default_error_page"` // true or "appended"
	Log          []string                   `json:"log"`
}

// dispatchHeaders are those that the recording keeps wherever they occur.
var dispatchHeaders = []string{"Content-Length", "X-Trace", "X-A", "Content-Type", "Location", "Retry-After", "Transfer-Encoding"}

// dispatch replays the cases of each application in order, since their event
// logs are read after each, and applications beside each other.
func (p *player) dispatch(ctx context.Context) error {
	for _, d := range p.rec.Deployments {
		err := p.each(ctx, len(d.Apps), func(ctx context.Context, i int) error {
			for _, c := range d.Apps[i].Cases {
				if err := p.dispatchCase(ctx, i, d, d.Apps[i], &c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *player) dispatchCase(ctx context.Context, key int, d *Deployment, a *App, c *dispatchCase) error {
	q := &wire.Request{Method: c.M, Target: latin1(a.ContextPath + c.T), Host: d.ID, Body: []byte(c.RB)}
	for _, h := range c.RH {
		if h[0] == "Host" {
			q.Host = h[1]
			continue
		}
		q.Headers = append(q.Headers, wire.Header{Name: h[0], Value: h[1]})
	}
	p.srv.Drain(a.ContextPath)
	r, err := p.do(ctx, "default", q)
	if err != nil {
		return err
	}
	vars := appVars(a)
	vars["method"], vars["target"] = c.M, a.ContextPath+c.T
	k := p.add(key, fmt.Sprintf("%s %s%s (%s)", c.M, a.ContextPath, c.T, a.Name), vars)
	want := headerValues(c.H)
	for n, v := range want {
		k.set("want.header."+n, v[0])
	}
	k.set("want.body", deref(c.B))
	if k.answer(c.S, r) {
		same := k.dispatchBody(c, r)
		for _, n := range dispatchHeaders {
			if n == "Content-Length" && (!same || c.DefaultError != nil || len(want[n]) == 0) {
				continue // follows from the body
			}
			if n == "Content-Type" && c.DefaultError != nil {
				continue // of the server's own error page
			}
			k.list("header."+n, want[n], r.Values(n))
		}
	}
	if c.Log != nil {
		k.logs(c.Log, p.srv.Drain(a.ContextPath))
	}
	return nil
}

// dispatchBody compares body and framing; it reports whether they are the same.
func (k *Case) dispatchBody(c *dispatchCase, r *wire.Response) bool {
	before := len(k.diffs)
	if c.DefaultError != nil {
		return true
	}
	k.text("framing", deref(c.FR), r.Framing)
	got := utf8Text(r.Body)
	switch want := deref(c.B); {
	case strings.Contains(want, "sha256:"):
		k.text("body", want, bodyText(r.Body, 0))
	default:
		k.lines(want, got)
	}
	return len(k.diffs) == before
}

// lines compares two texts line by line; lines that are JSON objects are
// compared member by member.
func (k *Case) lines(want, got string) {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	if len(w) != len(g) {
		k.text("body", want, got)
		return
	}
	for i := range w {
		var wo, gob map[string]any
		if json.Unmarshal([]byte(w[i]), &wo) != nil || json.Unmarshal([]byte(g[i]), &gob) != nil {
			k.text("body", w[i], g[i])
			continue
		}
		wa, _ := wo["attrs"].(map[string]any)
		ga, _ := gob["attrs"].(map[string]any)
		delete(wo, "attrs")
		delete(gob, "attrs")
		k.echo([]any{wo}, []any{gob})
		for _, n := range union(wa, ga) {
			k.text("attr."+n, member(wa, n), member(ga, n))
		}
	}
}

// headerValues decodes headers that are recorded as a text or a list.
func headerValues(h map[string]json.RawMessage) map[string][]string {
	out := make(map[string][]string, len(h))
	for n, raw := range h {
		var one string
		var many []string
		if json.Unmarshal(raw, &one) == nil {
			many = []string{one}
		} else if json.Unmarshal(raw, &many) != nil {
			many = []string{string(raw)}
		}
		if len(many) > 0 {
			out[n] = slices.Clip(many)
		}
	}
	return out
}
