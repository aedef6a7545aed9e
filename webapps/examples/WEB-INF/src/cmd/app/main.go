// Command app is the program of the examples: the server starts it as a worker.
package main

import (
	"example.com/examples"

	"github.com/serval-server/serval/webapp/servlet"
)

func main() { servlet.Main(examples.App) }
