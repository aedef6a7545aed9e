package cli

import (
	"errors"

	"github.com/serval-server/serval/server/demo"
)

// demoCmd is serval demo.
type demoCmd struct {
	Nodes    int    `help:"How many nodes, 2 to 9." default:"3" placeholder:"N"`
	HTTP     string `name:"http" help:"Address of the balancer." default:"localhost:8080" placeholder:"ADDR"`
	Shoppers int    `help:"How many shoppers fill carts by themselves." default:"5" placeholder:"N"`
}

// Help is what --help adds.
func (demoCmd) Help() string {
	return `Each node is a process of its own, with the shop as its application; in front of them is a
sticky balancer. Fill a cart in the browser, press the number of the node that has it (the page
says which one) to kill it with SIGKILL, reload: the cart is still there. Press it again to revive
the node. All files are in a temporary folder that is removed at the end (q or Ctrl-C). Without
a terminal, lines say what happens.`
}

// Run runs the demo.
func (c *demoCmd) Run(e *env) error {
	if _, ok := e.Linked["shop"]; !ok {
		return errors.New("this serval has no shop linked in, which the demo needs: see main.go of Serval")
	}
	return demo.Run(e.ctx, demo.Options{Nodes: c.Nodes, Address: c.HTTP, Shoppers: c.Shoppers, Stdout: e.Stdout})
}
