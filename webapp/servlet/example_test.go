package servlet_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/serval-server/serval/webapp/servlet"
	"github.com/serval-server/serval/webapp/servlet/servlettest"
)

// visit sends requests to a servlet as one browser does, and prints the answers.
func visit(app servlet.App, name string, paths ...string) {
	h, err := servlettest.New(app, servlet.ContextConfig{Params: map[string]string{"greeting": "hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	h.Paths = map[string]string{"/page": "page", "/footer": "footer"}
	srv := httptest.NewServer(h.Servlet(name))
	defer srv.Close()
	jar, _ := cookiejar.New(nil)
	client := http.Client{Jar: jar}
	for _, p := range paths {
		resp, err := client.Get(srv.URL + p)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Print(string(body))
	}
}

func serve(name string, f http.HandlerFunc, paths ...string) {
	visit(servlet.App{Servlets: map[string]http.Handler{name: f}}, name, paths...)
}

// An App offers handlers by the names that its descriptor uses. main would call
// servlet.Main(app).
func ExampleApp() {
	app := servlet.App{
		Servlets: map[string]http.Handler{
			"hello": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(w, servlet.ContextOf(r).InitParam("greeting"), r.URL.Path)
			}),
		},
	}
	visit(app, "hello", "/x")
	// Output: hello /x
}

// A servlet counts its user's visits.
func ExampleSessionOf() {
	serve("count", func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		n, _ := servlet.Get[int](s, "n") // 0 if there is none
		n++
		if err := servlet.Set(s, "n", n); err != nil {
			servlet.Fail(w, r, err)
			return
		}
		fmt.Fprintln(w, n)
	}, "/", "/", "/")
	// Output:
	// 1
	// 2
	// 3
}

// What a value holds by reference can be changed in place.
func ExampleGet() {
	type Cart struct{ Items map[string]int }
	serve("add", func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		cart, err := servlet.Get[Cart](s, "cart")
		if err != nil {
			cart = Cart{Items: map[string]int{}}
			if err := servlet.Set(s, "cart", cart); err != nil {
				servlet.Fail(w, r, err)
				return
			}
		}
		cart.Items[r.URL.Query().Get("item")]++
		fmt.Fprintln(w, cart.Items)
	}, "/?item=tea", "/?item=cup", "/?item=tea")
	// Output:
	// map[tea:1]
	// map[cup:1 tea:1]
	// map[cup:1 tea:2]
}

// Update counts right also if requests of the session run at the same time.
func ExampleUpdate() {
	serve("count", func(w http.ResponseWriter, r *http.Request) {
		err := servlet.Update(servlet.SessionOf(r), "n", func(n int, _ bool) (int, error) { return n + 1, nil })
		fmt.Fprintln(w, err)
	}, "/")
	// Output: <nil>
}

// A value that cannot be encoded, or shall not travel, stays on this node.
func ExampleSetLocal() {
	serve("local", func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		ch, ok := servlet.GetLocal[chan string](s, "events")
		if !ok {
			ch = make(chan string, 1)
			servlet.SetLocal(s, "events", ch)
			ch <- "from the first request"
			return
		}
		fmt.Fprintln(w, <-ch)
	}, "/", "/")
	// Output: from the first request
}

func ExampleRemove() {
	serve("remove", func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		_ = servlet.Set(s, "user", "alice")
		_ = servlet.Remove(s, "user")
		_, err := servlet.Get[string](s, "user")
		fmt.Fprintln(w, err)
	}, "/")
	// Output: servlet: no such attribute
}

// A log-out ends the session for all its requests.
func ExampleSession_Invalidate() {
	serve("logout", func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		if err := s.Invalidate(); err != nil {
			servlet.Fail(w, r, err)
			return
		}
		fmt.Fprintln(w, servlet.ExistingSession(r) == nil, servlet.Set(s, "a", 1))
	}, "/")
	// Output: true servlet: session is no longer valid
}

// A log-in gives the session a new id, so that one planted before is of no use.
func ExampleSession_ChangeID() {
	serve("login", func(w http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		old := s.ID()
		id, err := s.ChangeID()
		fmt.Fprintln(w, id != old, s.ID() == id, err)
	}, "/")
	// Output: true true <nil>
}

// A servlet prepares what a page shows, and hands the request on.
func ExampleDispatcher_Forward() {
	visit(servlet.App{Servlets: map[string]http.Handler{
		"control": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			servlet.SetAttribute(r, "title", "Teapots")
			if err := servlet.DispatcherOf(r, "/page").Forward(w, r); err != nil {
				servlet.Fail(w, r, err)
			}
		}),
		"page": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, servlet.DispatcherTypeOf(r), servlet.Attribute(r, "title"))
		}),
	}}, "control", "/")
	// Output: FORWARD Teapots
}

func ExampleDispatcher_Include() {
	visit(servlet.App{Servlets: map[string]http.Handler{
		"page": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "body")
			if err := servlet.ContextOf(r).Dispatcher("/footer").Include(w, r); err != nil {
				servlet.Fail(w, r, err)
			}
		}),
		"footer": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "footer")
		}),
	}}, "page", "/")
	// Output:
	// body
	// footer
}

type visitors struct{ n int }

func (v *visitors) SessionCreated(servlet.SessionEvent) { v.n++ }

func (v *visitors) SessionDestroyed(servlet.SessionEvent) { v.n-- }

// A listener counts who is there. The descriptor names it.
func ExampleSessionListener() {
	v := &visitors{}
	visit(servlet.App{
		Listeners: map[string]any{"visitors": v},
		Servlets: map[string]http.Handler{"here": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			servlet.SessionOf(r)
			fmt.Fprintln(w, v.n)
		})},
	}, "here", "/", "/")
	// Output:
	// 1
	// 1
}

// A connection-like value hears when it enters and leaves a session.
type login struct{ User string }

func (l login) ValueBound(e servlet.BindingEvent) { fmt.Println(l.User, "is bound as", e.Name) }

func (l login) ValueUnbound(e servlet.BindingEvent) { fmt.Println(l.User, "is unbound") }

func ExampleBindingListener() {
	serve("login", func(_ http.ResponseWriter, r *http.Request) {
		s := servlet.SessionOf(r)
		_ = servlet.Set(s, "login", login{User: "alice"})
		_ = servlet.Set(s, "login", login{User: "bob"})
		_ = s.Invalidate()
	}, "/")
	// Output:
	// alice is bound as login
	// bob is bound as login
	// alice is unbound
	// bob is unbound
}

// Middleware of any kind is a filter.
func ExampleFilter() {
	h, err := servlettest.New(servlet.App{
		Filters: map[string]servlet.Filter{"shout": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "HEY ")
				next.ServeHTTP(w, r)
			})
		}},
		Servlets: map[string]http.Handler{"hello": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "you") })},
	}, servlet.ContextConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	rec := httptest.NewRecorder()
	h.Servlet("hello", "shout").ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(rec.Body)
	// Output: HEY you
}

// A context attribute is shared by all requests of the application.
func ExampleContext_SetAttribute() {
	serve("a", func(w http.ResponseWriter, r *http.Request) {
		c := servlet.ContextOf(r)
		c.SetAttribute("motd", "welcome")
		fmt.Fprintln(w, c.Attribute("motd"))
	}, "/")
	// Output: welcome
}

func ExampleSendError() {
	serve("admin", func(w http.ResponseWriter, r *http.Request) {
		if err := servlet.SendError(w, r, http.StatusForbidden, "not for you"); err != nil {
			servlet.Fail(w, r, err)
		}
	}, "/")
	// Output: not for you
}

// A handler that streams makes its session changes safe before it begins.
func ExampleBarrier() {
	serve("stream", func(w http.ResponseWriter, r *http.Request) {
		_ = servlet.Set(servlet.SessionOf(r), "started", true)
		fmt.Fprintln(w, servlet.Barrier(w, r))
	}, "/")
	// Output: <nil>
}
