// Package worker runs an application's code in a process of its own: it starts
// the process, greets it, keeps it within its limits, restarts it when it dies,
// and carries requests, session changes and events between the server and it in
// the frames of package wire (docs/worker-protocol.md).
//
// A bundle's program is a native one (WEB-INF/bin/<os>-<arch>/app), a WebAssembly
// module that "serval worker" runs (WEB-INF/app.wasm), or Go source that is
// built first (WEB-INF/src, package source). To this package all three are a
// command line.
//
// Sessions live in the server. A request's frame carries the attributes that
// the worker does not hold, its answer what the request has changed; what a
// worker dies with was never committed. Its own requests are answered with 502,
// later ones wait for its restart, which is delayed more and more if it keeps
// dying. Components are initialised again in the new process.
//
// A worker never outlives the server: it ends at EOF of its socket, and on Linux
// the kernel kills it with the thread that started it.
package worker
