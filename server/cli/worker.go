package cli

import (
	"os/signal"
	"syscall"

	"github.com/serval-server/serval/webapp/runtime/wasm"
)

// workerCmd is serval worker: the process that the server starts for a bundle whose
// program is WebAssembly. The connection to the server is in the environment.
type workerCmd struct {
	File      string `arg:"" help:"The module, app.wasm."`
	Cache     string `help:"Folder for what the module is compiled to." placeholder:"DIR"`
	Memory    int64  `help:"The most that an instance may use, in bytes (default: 512 MiB)." placeholder:"BYTES"`
	Instances int    `help:"How many requests run at once (default: four for each processor)." placeholder:"N"`
}

// Run serves until the server closes the connection. Interrupts are for the server,
// which shares its terminal with its workers, and ends them itself.
func (c *workerCmd) Run(e *env) error {
	signal.Ignore(syscall.SIGINT)
	return wasm.Serve(e.ctx, wasm.Options{File: c.File, CacheDir: c.Cache, Memory: c.Memory, Instances: c.Instances})
}
