// Package config is the model of conf/server.toml: what the server listens on,
// which hosts it serves, which valves a request passes, and its limits.
//
// Load reads a file (or none: the zero file is a sensible server), applies the
// overrides of the command line, checks everything, and returns either a Config
// that is complete or all problems that there are, each with file, line and
// column. An unknown key is an error that names the nearest known key.
//
// The shipped conf/server.toml documents every key and holds the defaults; a
// test keeps the two in step. Keys follow Tomcat's attribute names where there
// is one, in kebab-case (as in web.toml) and with units: connectionTimeout is header-timeout and
// idle-timeout, appBase is app-base (docs/server-configuration.md has a table).
//
// Relative file names in the configuration are relative to the home, not to the
// current folder, so that a server can be started from anywhere.
package config
