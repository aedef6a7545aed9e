// Package pages is the servlet for *.gohtml files: html/template pages that lie
// in the bundle like its other files, and are reloaded when they change. They are
// what JSPs are to a Java application; a bundle of static files and pages needs
// no program.
//
// A page is executed with a Data, so it says
//
//	Hello {{with .Session}}{{.Get "user"}}{{else}}stranger{{end}}, you asked for {{.Request.Path}}.
//	<a href="{{.URL "/cart.gohtml"}}">Your cart</a>
//
// Values are escaped for the place where they stand, as html/template does.
//
// A page uses another file by its name: {{template "part.gohtml" .}} is relative
// to the page's folder, {{template "/WEB-INF/layout.gohtml" .}} to the bundle. A
// layout leaves blocks open, {{block "title" .}}Shop{{end}}, and the page that
// uses it fills them with {{define "title"}}Cart{{end}}: of two definitions of a
// name, that of the file nearer to the page counts. {{.Include "/news"}} puts in
// what another servlet of the application answers.
//
// Pages below WEB-INF are for layouts and for servlets that forward to them; no
// client gets them directly.
//
// A page that has an error answers 500. In development mode the answer shows
// the file, the line and the source round it.
package pages
