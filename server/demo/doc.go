// Package demo is serval demo: a cluster on one machine that one can look at and
// kill nodes of.
//
// Run starts some nodes, each a process of its own with a home of its own in a
// temporary folder, with certificates of an authority made for the occasion, and
// with the shop of webapps/shop as its only application. In front of them, in this
// process, is a balancer as a site would have one: sticky by the route in the
// session's cookie, and when a node is gone it takes another. A few shoppers that
// fill carts through it keep the table moving, and look after each request whether
// their cart is still what it was.
//
// On a terminal there is a live table, and a key kills a node with SIGKILL or
// revives it; elsewhere the same is told in lines. Only the balancer's port is
// fixed: the nodes take free ones. All of it ends, and the folder is removed, when
// the context does or somebody presses q or Ctrl-C.
//
// The shop's program is linked into the server that runs the demo (main.go), as a
// copy that copy/main.go makes, so that the demo needs no Go toolchain.
package demo

//go:generate go run ./copy ../../webapps/shop
