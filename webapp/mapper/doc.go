// Package mapper decides which application of a host, and which servlet of an
// application, a path belongs to, by the rules of Servlet 6.1 §12 and, where
// that leaves room (welcome files, the bare context path, versions of one
// path), by Tomcat's (tomcat.md D2).
//
// Both tables are immutable once made and safe for concurrent use: who changes
// the set of applications makes a new Host and publishes it with one atomic
// store. Lookups do not allocate unless a welcome file is looked for.
//
// All paths are in the one form that package urlpath gives them; a path that
// has not been through it must not be mapped.
package mapper
