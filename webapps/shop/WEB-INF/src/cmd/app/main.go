// Command app is the shop's program: the server starts it as a worker.
package main

import (
	"example.com/shop"

	"github.com/serval-server/serval/webapp/servlet"
)

func main() { servlet.Main(shop.App) }
