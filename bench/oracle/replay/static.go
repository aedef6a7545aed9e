package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serval-server/serval/bench/oracle/wire"
)

type staticCase struct {
	Grp   string         `json:"grp"`
	Conn  string         `json:"conn"`
	Steps []staticStep   `json:"steps"`
	R     []staticAnswer `json:"r"`
}

type staticStep struct {
	M    string      `json:"m"`
	T    string      `json:"t"`
	H    [][2]string `json:"h"`
	Body string      `json:"body"`
}

type staticAnswer struct {
	S      int                        `json:"s"`
	H      map[string]json.RawMessage `json:"h"`
	FR     *string                    `json:"fr"`
	Len    *int                       `json:"len"`
	B      *string                    `json:"b"`
	Sha    *string                    `json:"sha"`
	Msg    bool                       `json:"msg"`
	Hrefs  []string                   `json:"hrefs"`
	Readme *bool                      `json:"readme"`
}

// staticHeaders are those that the recording keeps wherever they occur.
var staticHeaders = []string{
	"Content-Type", "Content-Length", "Transfer-Encoding", "Accept-Ranges", "ETag", "Last-Modified",
	"Vary", "Allow", "Content-Range", "Content-Encoding", "Content-Language", "Location", "Connection",
}

// static replays requests for files. Those that change files come last, in order.
func (p *player) static(ctx context.Context) error {
	var cases []staticCase
	if err := json.Unmarshal(p.rec.Cases, &cases); err != nil {
		return err
	}
	var reads, writes []int
	for i := range cases {
		if cases[i].Grp == "put" {
			writes = append(writes, i)
		} else {
			reads = append(reads, i)
		}
	}
	err := p.each(ctx, len(reads), func(ctx context.Context, i int) error {
		return p.staticCase(ctx, reads[i], &cases[reads[i]])
	})
	for _, i := range writes {
		if err == nil {
			err = p.staticCase(ctx, i, &cases[i])
		}
	}
	return err
}

func (p *player) staticCase(ctx context.Context, key int, c *staticCase) error {
	for i := range min(len(c.Steps), len(c.R)) {
		s := &c.Steps[i]
		q := &wire.Request{Method: s.M, Target: latin1(s.T), Host: p.rec.host(), Body: []byte(latin1(s.Body))}
		vars := map[string]string{"method": s.M, "target": s.T, "profile": c.Conn}
		label := fmt.Sprintf("%s %s", s.M, s.T)
		for _, h := range s.H {
			q.Headers = append(q.Headers, wire.Header{Name: h[0], Value: h[1]})
			vars["request.header."+h[0]] = h[1]
			label += fmt.Sprintf(" [%s: %s]", h[0], h[1])
		}
		if a := p.rec.Deployments[0].owner(s.T); a != nil {
			vars["descriptor"], vars["context"] = deref(a.WebXML), a.ContextXML
		}
		if c.Conn != "default" {
			label = c.Conn + ": " + label
		}
		r, err := p.do(ctx, c.Conn, q)
		if err != nil {
			return err
		}
		p.add(key, label, vars).file(&c.R[i], r)
	}
	return nil
}

// file compares an answer of the default servlet.
func (k *Case) file(want *staticAnswer, r *wire.Response) {
	wh := headerValues(want.H)
	for n, v := range wh {
		k.set("want.header."+n, v[0])
	}
	k.set("want.body", deref(want.B))
	if !k.answer(want.S, r) {
		return
	}
	body := r.Body
	// Of pages that the server makes up, neither length nor framing was recorded.
	own := want.Msg || want.Hrefs != nil || k.vars["method"] == "HEAD" && want.S >= 400
	for _, n := range staticHeaders {
		if n == "Content-Length" && len(wh[n]) == 1 && !own && want.Len != nil && *want.Len != len(body) {
			continue // follows from the body
		}
		if own && (n == "Content-Length" || n == "Transfer-Encoding") {
			continue
		}
		got := r.Values(n)
		if len(got) == 1 && len(wh[n]) == 1 {
			got[0] = normalHeader(n, got[0], wh[n][0], &body)
		}
		k.list("header."+n, wh[n], got)
	}
	if want.Msg {
		k.text("error body", "true", fmt.Sprint(len(body) > 0 || k.vars["method"] == "HEAD"))
		return
	}
	if want.Hrefs != nil {
		k.listing(want, body)
		return
	}
	k.text("framing", deref(want.FR), r.Framing)
	if want.B != nil {
		k.text("body", *want.B, fromLatin1(body)) // one character a byte
	} else if want.Sha != nil {
		k.text("body", *want.Sha, digest(body))
	}
}

// fileTime is the modification time of every recorded file, in milliseconds.
const fileTime = "1609556645000"

var etagTime = regexp.MustCompile(`-\d{13}"`)

// normalHeader gives what differs from run to run its recorded name.
func normalHeader(name, got, want string, body *[]byte) string {
	switch {
	case want == "NOW":
		if t, err := http.ParseTime(got); err == nil && time.Since(t).Abs() < 24*time.Hour {
			return want
		}
	case strings.Contains(want, "MTIME") && !strings.Contains(got, fileTime):
		return etagTime.ReplaceAllString(got, `-MTIME"`)
	case strings.Contains(want, "boundary=BOUNDARY"):
		if _, params, err := mime.ParseMediaType(got); err == nil && params["boundary"] != "" {
			*body = []byte(strings.ReplaceAll(string(*body), params["boundary"], "BOUNDARY"))
			return strings.Replace(got, params["boundary"], "BOUNDARY", 1)
		}
	}
	return got
}

var href = regexp.MustCompile(`(?i)<a[^>]*\shref="([^"]*)"`)

// listing compares the links of a directory listing as a set: the order of
// the recorded one is that of a hash table unless the application sorts.
func (k *Case) listing(want *staticAnswer, body []byte) {
	var got []string
	for _, m := range href.FindAllStringSubmatch(string(body), -1) {
		got = append(got, html.UnescapeString(m[1]))
	}
	w := slices.Clone(want.Hrefs)
	if !strings.Contains(k.vars["descriptor"], "sortListings") {
		slices.Sort(w)
		slices.Sort(got)
	}
	k.list("listing", w, got)
}
