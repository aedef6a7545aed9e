package mapper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Entry is one application of a host: what is deployed at a context path, in a
// version.
type Entry[T any] struct {
	// Path is "" for the root application, else "/name" or "/a/b".
	Path string
	// Version orders the applications of one path: the newest is the one
	// that compares highest as a string; "" is the oldest.
	Version string
	App     T
}

// Host maps paths to the applications of one host.
type Host[T any] struct {
	contexts map[string][]Entry[T] // by path; newest version first
	longest  int                   // the longest path's length, to cut searches short
}

// NewHost makes the table. Two entries of one path and version are an error.
func NewHost[T any](entries []Entry[T]) (*Host[T], error) {
	h := &Host[T]{contexts: make(map[string][]Entry[T], len(entries))}
	for _, e := range entries {
		if e.Path != "" && (e.Path[0] != '/' || strings.HasSuffix(e.Path, "/")) {
			return nil, fmt.Errorf("context path %q: want %q or a path that begins and does not end with a slash", e.Path, "")
		}
		for _, o := range h.contexts[e.Path] {
			if o.Version == e.Version {
				return nil, fmt.Errorf("context path %q: version %q is there twice", e.Path, e.Version)
			}
		}
		h.contexts[e.Path] = append(h.contexts[e.Path], e)
		h.longest = max(h.longest, len(e.Path))
	}
	for _, versions := range h.contexts {
		slices.SortFunc(versions, func(a, b Entry[T]) int { return cmp.Compare(b.Version, a.Version) })
	}
	return h, nil
}

// Versions are the applications at the longest context path that is a
// whole-segment prefix of the path, newest version first; nil if there is none,
// not even at the root. They must not be modified.
func (h *Host[T]) Versions(path string) []Entry[T] {
	end := len(path)
	if end > h.longest {
		// A context path can end here only at a slash.
		end = strings.LastIndexByte(path[:h.longest+1], '/')
	}
	for end > 0 {
		if v := h.contexts[path[:end]]; v != nil {
			return v
		}
		end = strings.LastIndexByte(path[:end], '/')
	}
	return h.contexts[""]
}

// Map is the application that serves the path: of several versions, the newest
// that owns the request's session, else the newest (tomcat.md C4). owns may be
// nil; it is asked only if there are several. It returns false if there is no
// application.
func (h *Host[T]) Map(path string, owns func(T) bool) (Entry[T], bool) {
	v := h.Versions(path)
	if len(v) == 0 {
		return Entry[T]{}, false
	}
	if len(v) > 1 && owns != nil {
		for _, e := range v {
			if owns(e.App) {
				return e, true
			}
		}
	}
	return v[0], true
}
