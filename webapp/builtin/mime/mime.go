// Package mime says which media type a file has, by the extension of its name.
//
// The list is part of the program, as Tomcat's is part of its conf/web.xml, so
// that a bundle is served with the same types on every machine: what
// /etc/mime.types says there (which the standard library's mime package asks)
// makes no difference. A web.xml's mime-mapping elements, of the application or
// of conf/web.toml, come before this list; merging them is the business of the
// descriptor, and webapp asks this package last.
//
// Types carry no charset. What is served as text is sent as it is on disk, and
// only who wrote the file knows its encoding.
package mime

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed types.txt
var list string

var table = sync.OnceValue(func() map[string]string { return parse(list) })

// parse reads "type ext ext ..." lines; lines that begin with # are comments.
func parse(text string) map[string]string {
	m := make(map[string]string, 1700)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		for i := 1; i < len(fields); i++ {
			m[fields[i]] = fields[0]
		}
	}
	return m
}

// ByExtension returns the media type for an extension without its dot, or ""
// if there is none. Upper and lower case are the same (as in Tomcat's
// getMimeType).
func ByExtension(ext string) string {
	if t, ok := table()[ext]; ok {
		return t
	}
	return table()[strings.ToLower(ext)]
}

// ByName returns the media type of a file name or path: that of what follows
// its last dot, or "" if it has no dot or the extension is unknown.
func ByName(name string) string {
	return ByExtension(Extension(name))
}

// Extension returns what follows the last dot of the last element of a path,
// or "".
func Extension(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[i+1:]
	}
	return ""
}
