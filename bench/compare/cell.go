package main

import "strconv"

// cell is one kind of request, as the load generator is asked for it.
type cell struct {
	name string
	path string // below the application's path
	// sessions is how many the load has; 0: none, so the cell is for all systems.
	sessions int
	args     []string
	// rate is the requests per second; 0: as many as the system can do.
	rate int
}

// cells are what is measured of each system: each kind at full speed, then at a rate that
// all can keep up with.
var cells = append(kinds, atRate(kinds)...)

// kinds are the kinds of requests. Carts have fewer sessions, so that their content fits
// into memory many times over.
var kinds = []cell{
	{name: "hello", path: "/hello", args: []string{"-plain"}},
	{name: "count", path: "/count", sessions: 1000},
	{name: "read", path: "/read", sessions: 1000, args: []string{"-reads"}},
	{name: "cart4k", path: "/cart?size=4096", sessions: 300},
	{name: "cart16k", path: "/cart?size=16384", sessions: 300},
	{name: "cart64k", path: "/cart?size=65536", sessions: 300},
}

// rates are those at which kinds are measured.
var rates = map[string]int{"hello": 1500, "count": 1500, "read": 1500, "cart4k": 500, "cart16k": 500, "cart64k": 100}

func atRate(kinds []cell) []cell {
	out := make([]cell, len(kinds))
	for i, c := range kinds {
		c.rate = rates[c.name]
		c.name += "@" + strconv.Itoa(c.rate)
		// Each session's first request, which makes it, belongs into the warm-up.
		c.sessions = min(c.sessions, c.rate)
		out[i] = c
	}
	return out
}

// load is the load generator's arguments for the cell, at its rate, in a system.
func (c cell) load(s system) []string {
	app := s.app
	if app == "" {
		app = "/bench"
	}
	args := append([]string{"-path", app + c.path}, c.args...)
	if c.sessions > 0 {
		args = append(args, "-sessions", strconv.Itoa(c.sessions))
	}
	if s.cookie != "" {
		args = append(args, "-cookie", s.cookie)
	}
	if c.path == "/read" {
		args = append(args, "-prime", app+"/count") // the session must exist
	}
	if c.rate > 0 {
		args = append(args, "-rate", strconv.Itoa(c.rate))
	}
	return args
}
