//go:build !unix

package connector

import "net"

// canWatch says that gone can tell.
const canWatch = false

func gone(net.Conn) bool { return false }
