// Package connector listens: a Connector is one address of server.toml, with the
// protocols that are spoken there.
//
// Without TLS that is HTTP/1.1, and HTTP/2 for clients that start with it (h2c prior
// knowledge); with TLS it is HTTP/1.1 and HTTP/2 by ALPN over TCP, and HTTP/3 over
// QUIC on the same port number of UDP, announced with Alt-Svc. An address "unix:PATH"
// is a Unix socket. All of them call one handler.
//
// A connector is made in steps, so that a server can take all its ports before it
// serves on any: New loads certificates, Listen opens the sockets, Serve accepts,
// Shutdown stops accepting and waits for open requests, Close ends at once. Reload
// reads certificates again; connections that exist keep theirs.
//
// Hostile clients are the connector's business. The time for a header and between
// two requests is bounded by net/http; how many connections there are, by the
// listener; how long a client may take none of an answer, by the connection; and how
// slowly a body may arrive and how large it may be, by the Guard, which belongs into
// the pipeline behind the access log.
package connector
