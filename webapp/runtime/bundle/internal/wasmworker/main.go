// Command wasmworker is "serval worker" alone, for tests: without the race
// detector, with which compiling a module takes minutes.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/serval-server/serval/webapp/runtime/wasm"
)

func main() {
	o := wasm.Options{File: os.Args[1]}
	if len(os.Args) > 3 {
		o.CacheDir = os.Args[3] // after --cache
	}
	if err := wasm.Serve(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
