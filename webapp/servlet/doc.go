// Package servlet is what application authors import: the App that a bundle
// offers, the session of a request, the context (the running application),
// request dispatchers and listeners. A servlet is a plain http.Handler and a
// filter a plain func(http.Handler) http.Handler, so any Go router or
// middleware works unchanged.
//
// The same package runs in two places. Linked into the server, an Instance is
// driven by function calls; in a worker process, Main drives an Instance by
// frames that the server sends. Application code sees no difference.
//
// It imports the standard library and one serialization library, and nothing
// of the server, so that a bundle stays small and also builds for WebAssembly.
package servlet
