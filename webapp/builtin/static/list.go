package static

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/builtin/resources"
)

// Limits of a listing: entries that are shown, and bytes of a readme.
const (
	maxListed = 10_000
	maxReadme = 1 << 20
)

// entry is a line of a listing.
type entry struct {
	Name, Size, Modified string
	Href                 template.HTMLAttr // the whole attribute
	dir                  bool
	size                 int64
	time                 time.Time
}

// listing is what the page's template shows.
type listing struct {
	Path           string
	Parent         template.HTMLAttr // "" in the root
	Sortable       bool
	ByName, BySize string // targets of the heads
	ByTime         string
	Entries        []entry
	More           bool
	Readme         template.HTML
	ServerInfo     string
}

// list answers with the content of a folder as HTML.
func (s *Servlet) list(w http.ResponseWriter, r *http.Request, t Target, name string) {
	page, err := s.readFolder(r, t, name)
	if err != nil {
		s.Fail(w, r, fmt.Errorf("listing %s: %w", t.Path, err))
		return
	}
	var body bytes.Buffer
	if err := listingPage.Execute(&body, page); err != nil {
		s.Fail(w, r, fmt.Errorf("listing %s: %w", t.Path, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html;charset=UTF-8")
	if r.Method == http.MethodHead {
		return
	}
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	_, _ = w.Write(body.Bytes()) // the client has gone if it fails
}

func (s *Servlet) readFolder(r *http.Request, t Target, name string) (*listing, error) {
	dirEntries, err := fs.ReadDir(s.FS, name)
	if err != nil {
		return nil, err
	}
	dir := "/" + strings.Trim(t.Path, "/")
	if dir != "/" {
		dir += "/"
	}
	page := &listing{Path: t.ContextPath + dir, Sortable: s.Config.SortListings}
	if dir != "/" {
		page.Parent = href(t.ContextPath + strings.TrimSuffix(path.Dir(strings.TrimSuffix(dir, "/")), "/") + "/")
	}
	if s.Config.ShowServerInfo {
		page.ServerInfo = s.ServerInfo
	}
	page.Entries, page.More = s.entries(dirEntries, t, name)
	s.sort(page, r.URL.RawQuery)
	page.Readme, err = s.readme(name)
	return page, err
}

// entries describes what a folder holds, without WEB-INF and META-INF and
// what cannot be looked at.
func (s *Servlet) entries(all []fs.DirEntry, t Target, name string) (list []entry, more bool) {
	for _, e := range all {
		full := path.Join(name, e.Name())
		if resources.IsPrivate(full) {
			continue
		}
		info, err := fs.Stat(s.FS, full)
		if err != nil {
			continue
		}
		if len(list) == maxListed {
			return list, true
		}
		l := entry{Name: e.Name(), dir: info.IsDir(), size: info.Size(), time: info.ModTime()}
		target := t.ContextPath + "/" + full
		if l.dir {
			l.Name, l.size = l.Name+"/", 0
			target += "/"
		} else {
			l.Size = humanSize(l.size)
		}
		l.Href = href(target)
		if m := seconds(l.time); !m.IsZero() {
			l.Modified = m.Format(http.TimeFormat)
		}
		list = append(list, l)
	}
	return list, false
}

// href is a link's attribute, with the path escaped as a URL path and as HTML.
func href(path string) template.HTMLAttr {
	escaped := subDelims.Replace((&url.URL{Path: path}).EscapedPath())
	return template.HTMLAttr(`href="` + template.HTMLEscapeString(escaped) + `"`) //nolint:gosec // escaped twice
}

// subDelims turns back what net/url escapes in a path and RFC 3986 §3.3 does not.
var subDelims = strings.NewReplacer("%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*")

// sort orders the entries as the query C=N|S|M;O=A|D says, if that is allowed,
// and makes the links that turn an order round.
func (s *Servlet) sort(page *listing, query string) {
	column, descending := "N", false
	if s.Config.SortListings {
		for option := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == ';' || c == '&' }) {
			switch key, value, _ := strings.Cut(option, "="); {
			case key == "C" && (value == "S" || value == "M" || value == "N"):
				column = value
			case key == "O":
				descending = value == "D"
			}
		}
		link := func(c string) string {
			if c == column && descending {
				return "?C=" + c + ";O=A"
			}
			return "?C=" + c + ";O=D"
		}
		page.ByName, page.BySize, page.ByTime = link("N"), link("S"), link("M")
	}
	slices.SortStableFunc(page.Entries, func(a, b entry) int {
		if s.Config.SortDirectoriesFirst && a.dir != b.dir {
			if a.dir {
				return -1
			}
			return 1
		}
		var c int
		switch column {
		case "S":
			c = cmp.Compare(a.size, b.size)
		case "M":
			c = a.time.Compare(b.time)
		}
		c = cmp.Or(c, cmp.Compare(a.Name, b.Name))
		if descending {
			return -c
		}
		return c
	})
}

// readme reads the text to show below the list. It is the application's own
// file, trusted as its pages are; a file that is not HTML is shown as text.
func (s *Servlet) readme(name string) (template.HTML, error) {
	if s.Config.ReadmeFile == "" {
		return "", nil
	}
	file := path.Join(name, s.Config.ReadmeFile)
	if resources.IsPrivate(file) {
		return "", nil
	}
	data, err := resources.ReadAll(s.FS, file, maxReadme)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the readme: %w", err)
	}
	if strings.HasPrefix(s.describe(file), "text/html") {
		return template.HTML(data), nil //nolint:gosec // the application's own page
	}
	return template.HTML("<pre>" + template.HTMLEscapeString(string(data)) + "</pre>"), nil //nolint:gosec // escaped
}

// humanSize writes a size with at most one decimal.
func humanSize(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

var listingPage = template.Must(template.New("listing").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Path}}</title>
<style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th{text-align:left}
td,th{padding:.3rem .5rem;border-bottom:1px solid #8884}
td:nth-child(2),th:nth-child(2){text-align:right;white-space:nowrap}
td:first-child{overflow-wrap:anywhere}
td:nth-child(3){white-space:nowrap;color:#888}
footer{color:#888;margin-top:2rem;font-size:.9rem}
@media(max-width:40rem){td:nth-child(3),th:nth-child(3){display:none}}
</style></head><body>
<h1>{{.Path}}</h1>
<table><thead><tr>{{if .Sortable}}<th><a href="{{.ByName}}">Name</a></th><th><a href="{{.BySize}}">Size</a></th><th><a href="{{.ByTime}}">Last modified</a></th>{{else}}<th>Name</th><th>Size</th><th>Last modified</th>{{end}}</tr></thead><tbody>
{{with .Parent}}<tr><td><a {{.}}>../</a></td><td></td><td></td></tr>
{{end}}{{range .Entries}}<tr><td><a {{.Href}}>{{.Name}}</a></td><td>{{.Size}}</td><td>{{.Modified}}</td></tr>
{{end}}</tbody></table>
{{if .More}}<p>There is more than can be shown here.</p>
{{end}}{{with .Readme}}<div>{{.}}</div>
{{end}}{{with .ServerInfo}}<footer>{{.}}</footer>
{{end}}</body></html>
`))
