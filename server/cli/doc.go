// Package cli is the command line of serval.
//
//	serval [run]     serve the applications of a home (the default)
//	serval check     check configuration, bundles and descriptors
//	serval init      make a home
//	serval new       make a bundle to start from
//	serval build     build a bundle's source
//	serval deploy, reload, undeploy, apps, status
//	                 command a running server, through its control socket
//	serval worker    run a WebAssembly guest; the server starts it
//	serval version
//
// Main parses the arguments and runs a command; it is a function of its Options, so
// that tests run it in their own process. A command that fails prints one line (or a
// line per problem) on standard error, and its exit status is 1.
package cli
