// Package control is the only way to command a running server: JSON over HTTP on a
// Unix socket in the server's home, run/serval.sock, whose mode 0600 says who may. The
// CLI is its client; a script can use `curl --unix-socket run/serval.sock`.
//
//	GET  http://serval/v1/status
//	GET  http://serval/v1/apps
//	POST http://serval/v1/deploy    {"host", "bundle", "name"}
//	POST http://serval/v1/reload    {"host", "path", "version"}
//	POST http://serval/v1/undeploy  {"host", "path", "version"}
//
// and on a node of a cluster, for the whole of it except drain:
//
//	GET  http://serval/v1/cluster
//	GET  http://serval/v1/cluster/node    what the node knows by itself
//	POST http://serval/v1/cache        {"name", "change": {"mode", "owners", "ack", ...}}
//	POST http://serval/v1/replication  {"host", "path", "on"}
//	POST http://serval/v1/drain        answered with a line of JSON for each piece of progress
//
// An empty host is the default host. The bundle is an absolute name of a file or
// folder on this machine, which the server copies into the host's app base. Answers
// that are errors have a status of 4xx or 5xx and {"error": "..."}; a deployment that
// fails is one of them, with the reason.
package control
