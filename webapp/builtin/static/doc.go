// Package static is the default servlet: it answers the requests that no other
// servlet is mapped to from the application's tree of files.
//
// It follows Tomcat's DefaultServlet in its init parameters, its status codes
// and its headers (tomcat.md E7, F5), and RFC 9110 where the two disagree:
// preconditions in the order of §13.2.2 with strong and weak validators, single
// and multiple byte ranges (§14), precompressed variants chosen by the quality
// values of Accept-Encoding (§12.5.3), folder listings, and, for a tree that may
// be written, PUT (also of a part), and DELETE.
//
// A file on disk is handed to the ResponseWriter as an *os.File, so that the
// kernel sends it (sendfile) when nothing in between changes the bytes.
//
// The package knows http.Handler and fs.FS and nothing of the container: what
// depends on a dispatch (the path that an include names, how an error is
// reported) comes in through Options, so the servlet also works in front of
// any folder:
//
//	cfg, err := static.ParseParams(map[string]string{"listings": "true"})
//	h := static.New(static.Options{FS: os.DirFS("public"), Config: cfg})
package static
