package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/encoding/unicode"

	"github.com/serval-server/serval/bench/oracle/wire"
)

// summary is the short form of an answer in mapping, paths and FORM flows.
type summary struct {
	T        string   `json:"t"` // target; one character a byte
	M        string   `json:"m"` // method, GET if empty
	Profile  string   `json:"profile"`
	Script   string   `json:"script"`
	S        int      `json:"s"`
	L        *string  `json:"l"`
	F        []string `json:"f"`
	E        []any    `json:"e"`
	B        *string  `json:"b"`
	Extra    int      `json:"extra_bytes"`
	Leak     bool     `json:"leak"`
	SetCooky []string `json:"setCookie"`
}

// summarize gives a response the form in which answers were recorded.
func summarize(r *wire.Response) summary {
	o := summary{S: r.Status, Extra: r.Extra, F: r.Values("X-Trace")}
	if l, ok := r.Get("Location"); ok {
		o.L = &l
	}
	ct, _ := r.Get("Content-Type")
	switch {
	case strings.HasPrefix(ct, "application/json") && len(r.Body) > 0:
		o.E = echoLines(r.Body)
	case len(r.Body) > 0 && o.S < 400 && o.S != 301 && o.S != 302:
		b := bodyText(r.Body, 120)
		o.B = &b
	}
	return o
}

// echoLines decodes the lines of a JSON body; lines that are no objects stay text.
func echoLines(body []byte) []any {
	var out []any
	for line := range strings.SplitSeq(utf8Text(body), "\n") {
		line = strings.TrimSuffix(line, "\r")
		var m map[string]any
		switch {
		case line == "":
		case strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &m) == nil:
			out = append(out, m)
		default:
			out = append(out, line)
		}
	}
	return out
}

// bodyText is a short body as text, a longer or binary one as its digest.
func bodyText(b []byte, limit int) string {
	if len(b) <= limit && !bytes.Contains(b, []byte{0}) {
		return utf8Text(b)
	}
	return fmt.Sprintf("sha256:%s len:%d", digest(b), len(b))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:16]
}

// utf8Text decodes as browsers do: a replacement character for each maximal
// part of an ill-formed sequence.
func utf8Text(b []byte) string {
	s, err := unicode.UTF8.NewDecoder().Bytes(b)
	if err != nil {
		return string(b)
	}
	return string(s)
}

// latin1 turns recorded text, one character a byte, into those bytes.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// fromLatin1 gives each byte a character.
func fromLatin1(b []byte) string {
	out := make([]rune, len(b))
	for i, c := range b {
		out[i] = rune(c)
	}
	return string(out)
}

// answer tells the case what was answered, for rules, and compares the status.
// It reports whether the rest of the answers can be compared: not where one is
// an error and the other is not, which would only repeat the first difference.
func (k *Case) answer(wantStatus int, r *wire.Response) bool {
	k.set("want.status", fmt.Sprint(wantStatus))
	k.set("got.status", fmt.Sprint(r.Status))
	for _, h := range r.Headers {
		k.set("got.header."+h.Name, h.Value)
	}
	k.set("got.body", utf8Text(r.Body))
	if l, ok := r.Get("Location"); ok {
		k.set("got.location", l)
	}
	k.num("status", wantStatus, r.Status)
	return wantStatus/100 == r.Status/100
}

// summary compares an answer with its recorded summary.
func (k *Case) summary(want *summary, r *wire.Response) {
	got := summarize(r)
	k.set("want.location", deref(want.L))
	k.set("want.body", deref(want.B))
	if !k.answer(want.S, r) {
		return
	}
	k.text("location", deref(want.L), deref(got.L))
	k.list("trace", want.F, got.F)
	k.echo(want.E, got.E)
	k.text("body", deref(want.B), deref(got.B))
	k.num("extra bytes", want.Extra, got.Extra)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
