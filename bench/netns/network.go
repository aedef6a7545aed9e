package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// network is a bridge with a namespace for each node; nodes count from 1. The program
// itself reaches all of them, whatever is cut.
type network struct {
	tag    string // of all names
	subnet string // its first three numbers
	nodes  int
	cuts   map[[2]int]bool // from, to
}

func newNetwork(nodes int) (*network, error) {
	pid := os.Getpid()
	n := &network{tag: fmt.Sprintf("sv%04x", pid&0xffff), subnet: fmt.Sprintf("10.%d.%d", 200+pid>>8&31, pid&255), nodes: nodes, cuts: map[[2]int]bool{}}
	steps := [][]string{
		{"link", "add", n.tag, "type", "bridge"},
		{"addr", "add", n.subnet + ".254/24", "dev", n.tag},
		{"link", "set", n.tag, "up"},
	}
	for i := 1; i <= nodes; i++ {
		ns, out, in := n.space(i), fmt.Sprintf("%sh%d", n.tag, i), fmt.Sprintf("%sn%d", n.tag, i)
		steps = append(steps, [][]string{
			{"netns", "add", ns},
			{"link", "add", out, "type", "veth", "peer", "name", in, "netns", ns},
			{"link", "set", out, "master", n.tag, "up"},
			{"-n", ns, "addr", "add", n.address(i) + "/24", "dev", in},
			{"-n", ns, "link", "set", in, "up"},
			{"-n", ns, "link", "set", "lo", "up"},
		}...)
	}
	for _, args := range steps {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("ip %s: %s: %w", strings.Join(args, " "), strings.TrimSpace(string(out)), err), n.close())
		}
	}
	return n, nil
}

func (n *network) space(i int) string   { return fmt.Sprintf("%s-%d", n.tag, i) }
func (n *network) address(i int) string { return fmt.Sprintf("%s.%d", n.subnet, i) }

// close removes all of it; the nodes' processes have ended.
func (n *network) close() error {
	var errs []error
	for i := 1; i <= n.nodes; i++ {
		// The pair of a veth goes with its namespace.
		if err := exec.Command("ip", "netns", "del", n.space(i)).Run(); err != nil {
			errs = append(errs, fmt.Errorf("removing the namespace %s: %w", n.space(i), err))
		}
	}
	if err := exec.Command("ip", "link", "del", n.tag).Run(); err != nil {
		errs = append(errs, fmt.Errorf("removing the bridge %s: %w", n.tag, err))
	}
	return errors.Join(errs...)
}

// split cuts all links between the nodes of a set and the others.
func (n *network) split(side map[int]bool) error {
	for i := 1; i <= n.nodes; i++ {
		for j := 1; j <= n.nodes; j++ {
			if side[i] != side[j] {
				n.cuts[[2]int{i, j}] = true
			}
		}
	}
	return n.apply()
}

// cut cuts one direction of a link.
func (n *network) cut(from, to int) error {
	n.cuts[[2]int{from, to}] = true
	return n.apply()
}

// heal mends all links.
func (n *network) heal() error {
	clear(n.cuts)
	return n.apply()
}

// apply tells each node's kernel whose packets it loses.
func (n *network) apply() error {
	for to := 1; to <= n.nodes; to++ {
		var from []string
		for i := 1; i <= n.nodes; i++ {
			if n.cuts[[2]int{i, to}] {
				from = append(from, n.address(i))
			}
		}
		rule := ""
		if len(from) > 0 {
			rule = "ip saddr { " + strings.Join(from, ", ") + " } drop"
		}
		c := exec.Command("ip", "netns", "exec", n.space(to), "nft", "-f", "-")
		c.Stdin = strings.NewReader("table inet cut\ndelete table inet cut\ntable inet cut {\nchain in {\ntype filter hook input priority 0; policy accept;\n" + rule + "\n}\n}\n")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("cutting links of node %d: %s: %w", to, strings.TrimSpace(string(out)), err)
		}
	}
	return nil
}
