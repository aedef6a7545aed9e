// Code generated from webapps/shop by go generate ./server/demo; DO NOT EDIT.

// Package shop is a small shop that shows how an application for Serval is
// written: a catalogue, a cart that lives in the session, and a checkout.
//
// Handlers are plain http.Handlers on the standard mux; what makes them part of
// a web application is the session (servlet.SessionOf, Get, Set, Update) and
// the descriptor in WEB-INF/web.toml, which says where each servlet is mapped.
// Edit a file, save it and reload the page: the server builds the program anew,
// and the cart is still there.
//
// The descriptor also says distributable = true: in a cluster the cart outlives the node
// that it was filled at. `serval demo` shows it, with this very program linked in.
package shop

import (
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"github.com/serval-server/serval/webapp/servlet"
)

// App is what the descriptor's names refer to.
var App = servlet.App{
	Servlets: map[string]http.Handler{"shop": routes()},
	Filters:  map[string]servlet.Filter{"same-origin": sameOrigin},
}

// routes is one servlet with a mux inside: paths are those within the
// application, the context path is not part of them.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", showCatalogue)
	mux.HandleFunc("GET /product/{id}", showProduct)
	mux.HandleFunc("GET /cart", showCart)
	mux.HandleFunc("POST /cart/add", addToCart)
	mux.HandleFunc("POST /cart/change", changeCart)
	mux.HandleFunc("GET /checkout", showCheckout)
	mux.HandleFunc("POST /checkout", placeOrder)
	mux.HandleFunc("GET /order", showOrder)
	return mux
}

//go:embed pages/*.html
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"money": func(cents int64) string { return Money(cents).String() },
	"mul":   func(a int, b int64) int64 { return int64(a) * b },
	"upto": func(n int) []int {
		list := make([]int, n+1)
		for i := range list {
			list[i] = i
		}
		return list
	},
}).ParseFS(pageFiles, "pages/*.html"))

// view is what every page is given.
type view struct {
	Base  string // context path; every link begins with it
	Title string
	Count int // pieces in the cart
	Data  any
	Node  string // of the cluster, "" where there is none or it is not known
	r     *http.Request
}

// Link is the address of a path of the shop, with the session's id in it if
// the browser takes no cookies.
func (v view) Link(path string) string { return servlet.EncodeURL(v.r, v.Base+path) }

// show renders a page. A page that fails to render is a mistake in the program
// and becomes the server's error page.
func show(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) {
	v := view{Base: servlet.ContextPath(r), Title: title, Count: cartOf(r).Count(), Data: data, r: r}
	if servlet.PassOf(r) != nil { // a test may call the handler without a server
		v.Node, _ = servlet.ContextOf(r).Attribute("serval.node").(string)
	}
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, page+".html", v); err != nil {
		servlet.Fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // every page shows the cart's count
	w.WriteHeader(status)
	if _, err := w.Write([]byte(b.String())); err != nil {
		slog.Debug("page not delivered", "page", page, "error", err)
	}
}

// goTo redirects after a POST, so that a reload does not send it again.
func goTo(w http.ResponseWriter, r *http.Request, path string) {
	http.Redirect(w, r, servlet.EncodeURL(r, servlet.ContextPath(r)+path), http.StatusSeeOther)
}

// sameOrigin is the shop's filter: it refuses forms that another site sends in
// the user's name (cross-site request forgery).
func sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	return guard.Handler(next)
}

func showCatalogue(w http.ResponseWriter, r *http.Request) {
	kind := r.URL.Query().Get("kind")
	var list []Product
	for _, p := range catalogue {
		if kind == "" || p.Kind == kind {
			list = append(list, p)
		}
	}
	show(w, r, http.StatusOK, "catalogue", "Field supplies", struct {
		Products []Product
		Kinds    []string
		Kind     string
	}{list, kinds(), kind})
}

func showProduct(w http.ResponseWriter, r *http.Request) {
	p, ok := find(r.PathValue("id"))
	if !ok {
		notFound(w, r)
		return
	}
	show(w, r, http.StatusOK, "product", p.Name, p)
}

// notFound is the descriptor's error page for 404.
func notFound(w http.ResponseWriter, r *http.Request) {
	if err := servlet.SendError(w, r, http.StatusNotFound, "there is no such page"); err != nil {
		slog.Debug("error page not delivered", "error", err)
	}
}
