// Code generated from bench/app by go generate; DO NOT EDIT.

// Command app is the program of this bundle.
package main

import (
	"example.com/bench"

	"github.com/serval-server/serval/webapp/servlet"
)

func main() { servlet.Main(bench.App) }
