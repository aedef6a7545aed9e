// Package server is the process: it wires configuration, connectors, valves, hosts
// and the control socket together, and decides nothing that a lower room can.
//
// A Server is made from a config.Config and what main.go links in (applications,
// valves). Start takes all sockets, then deploys, then serves; an error leaves
// nothing running. Stop refuses new requests, waits for the open ones within a
// deadline, then stops the applications, which saves their sessions.
//
// A request comes from a connector, passes the valves of the server, the guard that
// enforces the limits, and the valves of its host, and is handed to that host's
// deploy.Host, which finds the application:
//
//	connector ▶ valves ▶ guard ▶ host by name ▶ the host's valves ▶ deploy.Host
//
// That pipeline is a value of its own. Reload (SIGHUP) reads the configuration
// again, builds another and exchanges the two, so that valves, limits and the log's
// level can be changed while requests run; it also opens the access log anew and
// reads certificates. What cannot be changed at run time is named in the log.
//
// Nothing administrative listens on the network: the control socket is a Unix socket
// with mode 0600 (package server/control).
package server
