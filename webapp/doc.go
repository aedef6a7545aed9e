// Package webapp runs one deployed application: a Context, at one context path
// and one version of a host. It maps a request's path to a servlet (package
// mapper), enforces the descriptor's security constraints, binds the request to
// its session, runs the filter chain and the servlet, passes requests on
// (forward, include, error pages), buffers the response up to its commit point,
// and there commits what the request has changed in its session.
//
// It knows nothing of how application code runs: a Runtime starts a Program, and
// a Program answers for the servlets, filters and listeners of the bundle. The
// runtimes are in webapp/runtime; the suite that each must pass is
// webapp/runtimetest. Servlets and filters that ship with the server are in
// webapp/builtin and run in the server's process.
//
// Package deploy makes Contexts from bundles and decides which generation of an
// application a request reaches; this package is not concerned with files that
// come and go.
package webapp
