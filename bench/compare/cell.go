package main

// cell is one kind of request, as the load generator is asked for it.
type cell struct {
	name string
	path string // below the application's path
	args []string
	// cluster says that the cell is for systems that keep sessions.
	sessions bool
}

// cells are what is measured of each system. Carts have fewer sessions, so that
// their content fits into memory many times over.
var cells = []cell{
	{"hello", "/hello", []string{"-plain"}, false},
	{"count", "/count", []string{"-sessions", "1000"}, true},
	{"read", "/read", []string{"-sessions", "1000", "-reads"}, true},
	{"cart4k", "/cart?size=4096", []string{"-sessions", "300"}, true},
	{"cart16k", "/cart?size=16384", []string{"-sessions", "300"}, true},
	{"cart64k", "/cart?size=65536", []string{"-sessions", "300"}, true},
	{"count@1500", "/count", []string{"-sessions", "1000", "-rate", "1500"}, true},
	{"cart16k@500", "/cart?size=16384", []string{"-sessions", "300", "-rate", "500"}, true},
}

// load is the load generator's arguments for the cell at an application whose
// session cookie has this name; "" is JSESSIONID.
func (c cell) load(app, cookie string) []string {
	args := append([]string{"-path", app + c.path}, c.args...)
	if cookie != "" {
		args = append(args, "-cookie", cookie)
	}
	if c.name == "read" {
		args = append(args, "-prime", app+"/count") // the session must exist
	}
	return args
}
