package valves

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/serval-server/serval/server/config"
)

// check is one line of a health report.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// health answers load balancers at its path: 200 and {"status":"UP"}, or 503 and
// DOWN when the server is stopping, when it is a cluster's node that drains or has
// not got its sessions yet, or when an application has failed (Tomcat's
// HealthCheckValve, whose checks are empty).
func health(c *config.Health, env Env) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != c.Path {
				next.ServeHTTP(w, r)
				return
			}
			checks := []check{}
			if env.Unready != nil {
				for _, name := range env.Unready() {
					checks = append(checks, check{name, "DOWN"})
				}
			}
			if c.CheckApps && env.Failed != nil {
				for _, name := range env.Failed() {
					checks = append(checks, check{name, "DOWN"})
				}
			}
			status, word := http.StatusOK, "UP"
			if len(checks) > 0 {
				status, word = http.StatusServiceUnavailable, "DOWN"
			}
			body, err := json.MarshalIndent(struct {
				Status string  `json:"status"`
				Checks []check `json:"checks"`
			}{word, checks}, "", "  ")
			if err != nil {
				env.Report(w, r, http.StatusInternalServerError, "", err)
				return
			}
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Length", strconv.Itoa(len(body)+1))
			w.WriteHeader(status)
			if r.Method != http.MethodHead {
				_, _ = w.Write(append(body, '\n')) // a client that has gone needs no answer
			}
		})
	}
}
