// Package resources holds the tree of files that a web application serves and
// reads: an fs.FS that is safe to look up request paths in.
//
// A tree is made of a base, which is a folder or a zip served in place, and
// the META-INF/resources folders of the archives in WEB-INF/lib, which show
// through wherever the base has no file of that name (Servlet 6.1 §4.6,
// §10.5; tomcat.md D9). Folders are merged.
//
// A folder is opened through os.Root, so no name leads out of it, and symbolic
// links inside it are refused unless the context allows them (Tomcat's
// allowLinking): a link that somebody could plant in an upload folder must not
// publish another file of the application, such as its descriptor.
//
// Names are those of io/fs: slash-separated, without a leading slash, "."
// for the root. WEB-INF and META-INF are ordinary folders here, since the
// application may read them; who serves requests refuses them (IsPrivate).
package resources
