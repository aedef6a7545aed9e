package webapp

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet"
)

// component is a servlet or filter and the program that answers for it.
type component struct {
	def     servlet.Definition
	program Program
}

// filterMapping is one filter-mapping of the descriptor.
type filterMapping struct {
	filter   *component
	servlets []string // "*" is all
	patterns []string
	types    [4]bool // by servlet.DispatcherType
}

// chainSet are the filter chains of one servlet for one dispatcher type. What
// the servlet's name and "/*" decide is decided once; for the rest a request's
// path says which of the candidates match, and each combination's chain is made
// once and kept.
type chainSet struct {
	c          *Context
	target     *wrapper
	candidates []candidate

	fixed func() (http.Handler, error) // the chain, if no path matters

	mu    sync.RWMutex
	known map[string]http.Handler // guarded by mu; by the matched candidates
}

// candidate is a filter that may be part of a chain.
type candidate struct {
	filter   *component
	patterns []string // any must match; nil: always
}

// maxChains bounds how many combinations one servlet keeps; more are made anew.
const maxChains = 128

// newChainSet collects the candidates: all url-pattern mappings in the order of
// their declaration, then all servlet-name mappings (Servlet 6.1 §6.2.4). A
// mapping counts once even if several of its patterns match.
func (c *Context) newChainSet(target *wrapper, t servlet.DispatcherType, byName bool) *chainSet {
	s := &chainSet{c: c, target: target}
	if !byName {
		for _, m := range c.filterMappings {
			if !m.types[t] || len(m.patterns) == 0 {
				continue
			}
			cand := candidate{filter: m.filter, patterns: m.patterns}
			if slices.Contains(m.patterns, "/*") {
				cand.patterns = nil
			}
			s.candidates = append(s.candidates, cand)
		}
	}
	for _, m := range c.filterMappings {
		if m.types[t] && (slices.Contains(m.servlets, target.def.Name) || slices.Contains(m.servlets, "*")) {
			s.candidates = append(s.candidates, candidate{filter: m.filter})
		}
	}
	if !slices.ContainsFunc(s.candidates, func(k candidate) bool { return k.patterns != nil }) {
		s.fixed = sync.OnceValues(func() (http.Handler, error) { return s.build(func(int) bool { return true }) })
	}
	return s
}

// handler is the chain for a path.
func (s *chainSet) handler(path string) (http.Handler, error) {
	if s.fixed != nil {
		return s.fixed()
	}
	var space [64]byte
	key := space[:0]
	for i := range s.candidates {
		if s.candidates[i].matches(path) {
			key = append(key, byte(i), byte(i>>8))
		}
	}
	s.mu.RLock()
	h := s.known[string(key)]
	s.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	in := make([]bool, len(s.candidates))
	for i := 0; i < len(key); i += 2 {
		in[int(key[i])|int(key[i+1])<<8] = true
	}
	h, err := s.build(func(i int) bool { return in[i] })
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]http.Handler{}
	}
	if len(s.known) < maxChains {
		s.known[string(key)] = h
	}
	return h, nil
}

func (k *candidate) matches(path string) bool {
	if k.patterns == nil {
		return true
	}
	for _, p := range k.patterns {
		if mapper.MatchPattern(p, path) {
			return true
		}
	}
	return false
}

// build puts a chain together: neighbours that the same program answers for
// become one segment, so that a worker is entered once for all of them.
func (s *chainSet) build(in func(int) bool) (http.Handler, error) {
	var filters []*component
	for i := range s.candidates {
		if in(i) {
			filters = append(filters, s.candidates[i].filter)
		}
	}
	program, name := s.target.program, s.target.def.Name
	var next http.Handler
	for end := len(filters); ; {
		start := end
		for start > 0 && filters[start-1].program == program {
			start--
		}
		var names []string
		for _, f := range filters[start:end] {
			names = append(names, f.def.Name)
		}
		if len(names) > 0 || name != "" {
			h, err := program.Segment(names, name, next)
			if err != nil {
				return nil, fmt.Errorf("filter chain of servlet %q: %w", s.target.def.Name, err)
			}
			next = h
		}
		if start == 0 {
			return next, nil
		}
		program, name, end = filters[start-1].program, "", start
	}
}

// dispatchTypes reads the dispatcher elements of a filter-mapping; none is REQUEST.
func dispatchTypes(list []descriptor.Dispatcher) (types [4]bool) {
	for _, d := range list {
		switch d {
		case descriptor.DispatchRequest:
			types[servlet.Request] = true
		case descriptor.DispatchForward:
			types[servlet.Forward] = true
		case descriptor.DispatchInclude:
			types[servlet.Include] = true
		case descriptor.DispatchError:
			types[servlet.Error] = true
		}
	}
	if len(list) == 0 {
		types[servlet.Request] = true
	}
	return types
}
