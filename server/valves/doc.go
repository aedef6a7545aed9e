// Package valves holds the valves that ship with Serval: middleware of the
// server's pipeline, or of one host's, that a section of server.toml configures.
//
// A valve is a func(http.Handler) http.Handler; there is a file for each. New puts
// those that a configuration asks for together in their fixed order, which is that
// of the fields of config.Valves. A user's own valve is linked into the server
// under a name (Maker) and configured by [valves.custom.NAME]; it comes last.
//
// Valves run for every request, so one that is not configured is not there, and
// those that are share one wrapper of the ResponseWriter, the Tap. A Tap counts and
// times; it implements Unwrap, so that http.ResponseController reaches the
// connection, and ReadFrom, so that files are still sent by the kernel.
//
// What a valve holds (a file, a goroutine) it releases in Close, which Set calls in
// reverse order.
package valves
