package replay

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/oracle/wire"
)

type httpCase struct {
	Name      string   `json:"name"`
	SendB64   []string `json:"send_b64"`
	Methods   []string `json:"methods"`
	Responses []struct {
		Line     string                     `json:"line"`
		FR       *string                    `json:"fr"`
		H        map[string]json.RawMessage `json:"h"`
		E        map[string]any             `json:"e"`
		B        *string                    `json:"b"`
		Raw      *string                    `json:"raw"`
		Body     bool                       `json:"body_present"`
		Repeated json.RawMessage            `json:"repeated"`
	} `json:"responses"`
	Closed bool     `json:"closed"`
	Seen   *int     `json:"seen"` // nil where the log was shortened
	Log    []string `json:"log"`
}

// httpServers is how many servers replay raw requests. Each case waits for
// silence and reads the log of all requests, so two cases cannot share one at a
// time. There are twice as many as cases in flight, so that a server rests
// between two cases, and the end of a request whose client has gone is not taken
// for a part of the next case.
const httpServers = 24

// http replays raw bytes.
func (p *player) http(ctx context.Context) error {
	var cases []httpCase
	if err := json.Unmarshal(p.rec.Cases, &cases); err != nil {
		return err
	}
	servers := make(chan Server, httpServers)
	servers <- p.srv
	for range min(httpServers, len(cases)) - 1 {
		s, err := p.opt.Start(ctx, p.rec)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		servers <- s
	}
	inFlight := make(chan struct{}, httpServers/2)
	return p.each(ctx, len(cases), func(ctx context.Context, i int) error {
		inFlight <- struct{}{}
		defer func() { <-inFlight }()
		srv := <-servers
		defer func() { servers <- srv }()
		return p.retry(i, func() error { return p.httpCase(i, srv, &cases[i]) })
	})
}

func (p *player) httpCase(key int, srv Server, c *httpCase) error {
	var pieces [][]byte
	var all strings.Builder
	for _, s := range c.SendB64 {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		pieces = append(pieces, b)
		for _, x := range b {
			all.WriteRune(rune(x))
		}
	}
	path := p.rec.Deployments[0].Apps[0].ContextPath
	srv.Drain(path)
	out, closed, err := wire.Exchange(srv.Addr("default"), pieces, seconds(p.rec.PieceDelay), seconds(p.rec.QuietSeconds), 20*time.Second)
	if err != nil {
		return err
	}
	got := wire.Parse(out, c.Methods)
	k := p.add(key, c.Name, map[string]string{
		"protocol.bytes": all.String(), "want.closed": fmt.Sprint(c.Closed), "got.closed": fmt.Sprint(closed),
	})
	var status []string
	for _, r := range got {
		status = append(status, fmt.Sprint(r.Status))
	}
	same := k.httpResponses(c, got, status)
	k.text("closed", fmt.Sprint(c.Closed), fmt.Sprint(closed))
	log := withoutAborts(srv.Drain(path))
	k.set("got.log", strings.Join(log, "\n"))
	if same && c.Seen != nil { // else the application was asked something else
		k.num("seen", *c.Seen, seen(log))
		k.logs(withoutAborts(c.Log), log)
	}
	return nil
}

// withoutAborts drops from a log what the end of the client's own connection did to
// the servlet: whether that is seen before the log is read is chance.
func withoutAborts(log []string) []string {
	return slices.DeleteFunc(slices.Clone(log), func(l string) bool {
		return strings.HasPrefix(l, "bodyerr") && strings.Contains(l, "ClientAbort")
	})
}

func seen(log []string) int {
	n := 0
	for _, l := range log {
		if strings.HasPrefix(l, "begin ") || l == "log noread" {
			n++
		}
	}
	return n
}

// httpResponses compares the answers; it reports whether the same requests were
// accepted and refused.
func (k *Case) httpResponses(c *httpCase, got []*wire.Response, status []string) bool {
	var want []string
	repeated := false
	for _, r := range c.Responses {
		switch f := strings.Fields(r.Line); {
		case r.Repeated != nil:
			repeated = true
		case len(f) > 1:
			want = append(want, f[1])
		default:
			want = append(want, "0")
		}
	}
	if repeated && len(status) > len(want) && len(want) > 1 {
		tail := len(want) - 1
		status = append([]string{status[0]}, status[len(status)-tail:]...)
		got = append([]*wire.Response{got[0]}, got[len(got)-tail:]...)
	}
	k.set("want.status", strings.Join(want, ","))
	k.set("got.status", strings.Join(status, ","))
	k.text("status", strings.Join(want, ","), strings.Join(status, ","))
	if !slices.Equal(want, status) {
		return false
	}
	i := 0
	for _, w := range c.Responses {
		if w.Repeated != nil {
			continue
		}
		r := got[i]
		i++
		if w.Raw != nil {
			k.text("raw", *w.Raw, string(r.Raw))
			continue
		}
		k.httpHeaders(headerValues(w.H), w.Body, r)
		if w.E != nil {
			if e := echoLines(r.Body); len(e) == 1 {
				if m, ok := e[0].(map[string]any); ok {
					k.httpEcho(w.E, m)
					continue
				}
			}
			k.text("body", canonical(w.E), utf8Text(r.Body))
		} else if w.B != nil {
			k.text("body", *w.B, utf8Text(r.Body))
		}
	}
	return true
}

// httpEcho compares the members that were recorded, and headers and trailers.
func (k *Case) httpEcho(want, got map[string]any) {
	for _, n := range union(want, got) {
		_, recorded := want[n]
		if sn := member(want, "sn"); n == "spt" && (sn == "localhost" || sn == "") {
			continue // the port of the connector
		}
		if recorded || n == "trailers" || n == "qs" {
			k.text("echo."+n, member(want, n), member(got, n))
		}
	}
}

// httpHeaders compares the headers that make up the framing and the fate of
// the connection. The length of an answer follows from its body.
func (k *Case) httpHeaders(want map[string][]string, ownPage bool, r *wire.Response) {
	for _, n := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Allow", "Date", "Content-Type"} {
		if ownPage && (n == "Content-Type" || n == "Transfer-Encoding") {
			continue
		}
		got := r.Values(n)
		if n == "Date" && len(got) == 1 {
			got = []string{"present"}
		}
		k.list("header."+n, want[n], got)
	}
}
