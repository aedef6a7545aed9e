// Package source builds a bundle's Go source (WEB-INF/src) with the Go toolchain
// of the machine: to a native program, or to a WebAssembly module.
//
// What is built is the main package in cmd/app, or the one at the top of the
// source. The module of this server that the bundle's go.mod requires is always
// the SDK that the server carries (package sdk), whatever version is asked for,
// as a servlet container provides the servlet API; only a replace directive that
// leads to an existing folder is left alone. The SDK's other modules come from
// the archive too, so that a bundle which needs no more than they builds without
// a network. Everything else is the toolchain's business: its caches, GOPROXY
// and GOFLAGS are those of the server's user.
//
// Nothing is written into the bundle: go.mod and go.sum are copied, so what the
// build adds to them is not seen there. A result is kept under the hash of all
// that went into it, and used again.
//
// A build that fails because of the source is an *Error, which has the
// compiler's messages with their places.
package source
