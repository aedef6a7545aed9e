// Package servlettest runs an application's servlets in a test, without a
// server: sessions in memory with a cookie, attributes, listeners, forwards and
// includes by a table of paths.
//
//	h, err := servlettest.New(shop.App, servlet.ContextConfig{})
//	srv := httptest.NewServer(h.Servlet("cart"))
//
// It leaves out what the descriptor decides: mapping by patterns, constraints,
// error pages. An application that wants those tests itself in a real server
// (go run github.com/serval-server/serval run).
package servlettest
