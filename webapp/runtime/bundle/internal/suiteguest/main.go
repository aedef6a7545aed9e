// Command suiteguest is the application of the runtimes' suite, to be built as a
// module for WebAssembly.
package main

import (
	"github.com/serval-server/serval/webapp/runtimetest/testapp"
	"github.com/serval-server/serval/webapp/servlet"
)

func main() { servlet.Main(testapp.App()) }
