// Package wasm runs an application that is a WebAssembly module (WEB-INF/app.wasm)
// as a worker: it is what "serval worker" does, in a process of its own, between
// the server's connection and the module's instances.
//
// The guest speaks the frames of the worker protocol, which the host hands over
// whole: three functions to import (recv, send, stream of the module "serval"),
// three to export (serval_abi, serval_start, serval_run), WASI preview 1 beside
// them. An instance serves one request at a time; more are served by more
// instances, made as they are needed, up to a limit, and each initialised as the
// server has initialised the first. What fails in any way is closed and never
// used again. docs/worker-protocol.md specifies the interface.
//
// Guest code is compiled to machine code by wazero and cannot be interrupted. So
// it never runs in the server's process: what loops for ever stops this process,
// which the server then kills.
package wasm
