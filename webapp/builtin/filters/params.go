package filters

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// params reads init parameters and gathers what is wrong with them.
type params struct {
	filter string
	values map[string]string
	used   map[string]bool
	errs   []error
}

func newParams(filter string, values map[string]string) *params {
	return &params{filter: filter, values: values, used: make(map[string]bool)}
}

func (p *params) lookup(name string) (string, bool) {
	p.used[name] = true
	v, ok := p.values[name]
	return strings.TrimSpace(v), ok
}

func (p *params) wrong(name, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("filter %s: init-param %s: %w", p.filter, name, fmt.Errorf(format, args...)))
}

// text is a parameter as it stands, or a default if it is missing.
func (p *params) text(name, def string) string {
	if v, ok := p.lookup(name); ok {
		return v
	}
	return def
}

func (p *params) bool(name string, def bool) bool {
	v, ok := p.lookup(name)
	switch {
	case !ok:
		return def
	case strings.EqualFold(v, "true"):
		return true
	case strings.EqualFold(v, "false"):
		return false
	}
	p.wrong(name, "%q: allowed is true or false", v)
	return def
}

// int is a number from low to high.
func (p *params) int(name string, def, low, high int) int {
	v, ok := p.lookup(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		p.wrong(name, "%q: allowed is a number from %d to %d", v, low, high)
		return def
	}
	return n
}

// list is a parameter split at commas, without empty members.
func (p *params) list(name, def string) []string {
	return splitList(p.text(name, def))
}

// ignore marks parameters of Tomcat's filter that mean nothing here.
func (p *params) ignore(names ...string) {
	for _, n := range names {
		p.used[n] = true
	}
}

// err is everything that is wrong, the unknown parameters included.
func (p *params) err() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.used[name] {
			known := strings.Join(slices.Sorted(maps.Keys(p.used)), ", ")
			p.wrong(name, "unknown; there are %s", known)
		}
	}
	return errors.Join(p.errs...)
}

func splitList(s string) []string {
	var list []string
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// equalAny reports whether s is one of the names, in any case of letters.
func equalAny(s string, names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(s, n) {
			return true
		}
	}
	return false
}
