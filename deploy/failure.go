package deploy

import (
	"html/template"
	"net/http"
	"time"
)

// failurePage shows a developer why an application failed. It reloads itself,
// so that the mended application appears without a further key.
var failurePage = template.Must(template.New("failure").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2"><title>{{.Name}} failed</title>
<style>
 body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fafafa}
 h1{font-size:1.4rem;color:#a11}
 pre{background:#fff;border:1px solid #ddd;border-left:4px solid #a11;padding:1rem;overflow:auto;white-space:pre-wrap;font-size:.9rem}
 p{color:#555}
</style></head><body>
<h1>{{.Name}} could not be deployed</h1>
<pre>{{.Reason}}</pre>
<p>Since {{.Since}}. The page is loaded again until this is mended. It is shown because the host is in development mode.</p>
</body></html>
`))

func writeFailure(w http.ResponseWriter, r *http.Request, name Name, st *status) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.Method == http.MethodHead {
		return
	}
	_ = failurePage.Execute(w, map[string]string{
		"Name": name.Display(), "Reason": st.err.Error(), "Since": st.since.Format(time.TimeOnly),
	})
}
