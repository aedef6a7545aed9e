// Command gensdk writes sdk.zip, the SDK that the server carries. It is run by
// "go generate" in the folder of package sdk.
package main

import (
	"fmt"
	"os"

	_ "github.com/coder/websocket" // bundles use it, this module does not: so that go.mod says which version

	"github.com/serval-server/serval/webapp/runtime/sdk/internal/pack"
)

func main() {
	b, err := pack.Archive("../../..")
	if err == nil {
		old, _ := os.ReadFile("sdk.zip") // it may not be there yet
		if same, _ := pack.Same(old, b); same {
			return
		}
		err = os.WriteFile("sdk.zip", b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gensdk:", err)
		os.Exit(1)
	}
}
