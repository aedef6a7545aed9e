// Package forward carries a request from the node that got it to the node that
// its session is at home on, and the answer back.
//
// A session has one home, the node whose requests write it. A balancer that is
// not sticky, or that has lost count, sends requests elsewhere; the application
// there asks for the session's place before it reads the body, and hands the
// request to a Client. The Client opens a stream to the other node (the cluster's
// QUIC connections, with mutual TLS; in tests a net.Pipe), writes a preamble and
// then the request as HTTP/1.1, and copies what comes back: bodies are streamed
// both ways, 1xx answers, trailers and upgrades (WebSocket) pass. One request is
// one stream, so that none waits for another and a stream that breaks belongs to
// exactly one request.
//
// At the other end a Server takes the streams. It hands the requests to the hosts
// of its node, without the valves: those have run where the client is connected,
// and a second access log line or a second look at X-Forwarded-For would be wrong.
//
//	client ▶ connector ▶ valves ▶ application ▶ Client ═ stream ═ Server ▶ guard ▶ host ▶ application
//
// # The preamble
//
// What a connection knows and a request does not say (the client's address, the
// protocol it speaks, its TLS state with the certificates it showed) stands in the
// preamble, and so does the number of hops. It is not a header: no client can forge
// it, and no application sees it. Only members of the cluster get a stream.
//
// # When it fails
//
// Nothing has been written to the client when Forward returns an error. If the
// request cannot have been executed, or may be executed twice (RFC 9110 §9.2.2), and
// its body has not been read, the error is Retryable: the caller asks for the
// session's place once more, which by then is another one, or here.
package forward
