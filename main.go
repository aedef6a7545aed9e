// Command serval is a web server that runs Go application bundles the way a servlet
// container runs web applications: bundles that are dropped into webapps/ are
// deployed, served, reloaded and undeployed while it runs.
//
// This file says what is linked in: applications, which bundles name with
// [runtime] app, and valves, which conf/server.toml names with [valves.custom.NAME].
// Everything else is in package server/cli. To link in your own, copy this file.
package main

import (
	"os"

	bench "github.com/serval-server/serval/bench/app"
	"github.com/serval-server/serval/server/cli"
	"github.com/serval-server/serval/server/demo/shop"
	"github.com/serval-server/serval/webapp/servlet"
)

func main() {
	os.Exit(cli.Main(cli.Options{
		Args: os.Args[1:],
		Linked: map[string]servlet.App{
			"bench": bench.App,
			"shop":  shop.App, // of serval demo
		},
	}))
}
