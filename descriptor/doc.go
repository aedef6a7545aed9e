// Package descriptor reads what a bundle declares about itself: the deployment
// descriptor of the servlet world (WEB-INF/web.xml, web-fragment.xml,
// jboss-web.xml, META-INF/context.xml) and the same in TOML (web.toml,
// context.toml), into one model, with the place of everything that can be wrong.
//
// There are three steps. A strict reader turns bytes into a tree with line and
// column (an XML document that is not well-formed is refused, external entities
// are never loaded, size, depth and entity expansion are bounded). A decoder
// turns the tree into the model and remembers positions. Validation then looks at
// the merged whole and collects every error, not the first only.
//
// [Load] does all three for a bundle: the application's own descriptor, the
// fragments of its libraries in their declared order, the vendor files, the
// context file, and the server's defaults for every application, each filling
// the gaps that the ones before it left (Servlet 6.1 §8.2, and Tomcat's rules where the
// specification is silent). [CheckFile] reads one lone file, as `serval check` does.
//
// The package is pure data: no I/O but through an [io/fs.FS], no goroutine, no
// logger. It knows the names of Java classes that Serval has a counterpart for
// ([TranslateClass]); which of its own names exist is decided by those who have
// them ([WebApp.CheckClasses]).
package descriptor
