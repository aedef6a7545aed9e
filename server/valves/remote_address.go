package valves

import (
	"net/http"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/conninfo"
)

// remoteAddress lets in, or does not, by the client's address: deny is looked at
// first; if allow is not empty the address must be in it (Tomcat's RemoteCIDRValve).
// An address that cannot be read, as that of a Unix socket, is in no network.
func remoteAddress(c *config.RemoteAddress, env Env) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			from := r.RemoteAddr
			if conn := conninfo.Of(r.Context()); c.UsePeer && conn != nil {
				from = conn.Peer
			}
			addr, ok := parseAddr(from)
			if ok && c.Deny.Contain(addr) || len(c.Allow) > 0 && (!ok || !c.Allow.Contain(addr)) {
				env.Report(w, r, c.Status, "", nil)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
