// Package builtin is the list of the servlets and filters that come with the
// server, under the names that a descriptor calls them by:
//
//	default    static files            (Tomcat's DefaultServlet)
//	gohtml     *.gohtml pages          (what JspServlet is to JSPs)
//
// and the filters of package filters: cors, expires, header-security and so on,
// each with the init parameters of Tomcat's filter of that kind. The class
// names that descriptors written for Tomcat or Jetty use are translated to
// these names by package descriptor.
//
// They run in the server's process for every application, whatever runtime its
// own code has, and for applications without code. Each lives in a package of
// its own below this one; those know http.Handler and fs.FS, and here they are
// put together with what package servlet says about a request: the path that
// an include names, how an error page is made, the application's tree of files.
//
// The lists are plain values: who wants to offer more puts its own beside them.
package builtin
