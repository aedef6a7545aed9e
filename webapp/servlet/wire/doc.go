// Package wire is the worker protocol: the frames that the server and the
// process which runs an application's code exchange over one byte stream,
// usually a Unix socket. The server uses it from runtime/worker, applications
// through servlet.Main, and "serval worker" between the socket and its
// WebAssembly guests. docs/worker-protocol.md specifies it for other languages.
//
// A frame is a header of ten bytes (length, type, flags, stream) and a payload.
// Stream 0 is the connection itself. The server opens a stream for each
// request, event and initialisation; the worker opens one for each dispatch
// back into the container. An ordinary GET is one Invoke and one Response.
//
// Three layers, each usable alone: Encoder and Decoder for the primitives, the
// messages (Hello, Invoke, Response, ...) with their Append and Decode methods,
// and Conn, which multiplexes streams, keeps their credit windows and writes
// many frames with one system call. It imports the standard library only, and
// nothing in it uses reflection, so that it also suits a small guest.
//
// Whatever it decodes is bounded before it is allocated; a peer that breaks a
// rule gets its connection closed, never a panic.
package wire
