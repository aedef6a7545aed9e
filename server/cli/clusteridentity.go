package cli

import (
	"cmp"
	"path/filepath"

	"github.com/serval-server/serval/cluster/identity"
)

// authorityDir is where a cluster's authority is, unless --dir says otherwise.
type authorityDir struct {
	Home string `help:"Folder with conf, webapps, work, logs and data." placeholder:"DIR" default:"." env:"SERVAL_HOME"`
	Dir  string `help:"Folder of the cluster's authority (default: conf/cluster in the home)." placeholder:"DIR"`
}

func (a *authorityDir) path() string {
	return cmp.Or(a.Dir, filepath.Join(a.Home, "conf", "cluster"))
}

// clusterInitCmd is serval cluster init.
type clusterInitCmd struct{ authorityDir }

// Help is what --help adds.
func (clusterInitCmd) Help() string {
	return `Once for a cluster, on any machine. The folder then has ca-key.pem, with which nodes are
enrolled: keep it where strangers do not get at it; the nodes do not need it. Nothing
that is there is ever overwritten.`
}

// Run makes an authority.
func (c *clusterInitCmd) Run(e *env) error {
	dir := c.path()
	id, err := identity.InitCA(dir)
	if err != nil {
		return err
	}
	e.printf("made the authority of cluster %s in %s\n\n", id, dir)
	e.printf("A certificate for each node, in a folder to copy to conf/cluster in the node's home:\n")
	e.printf("    serval cluster enroll NAME --dir %s\n", dir)
	return nil
}

// clusterEnrollCmd is serval cluster enroll.
type clusterEnrollCmd struct {
	Name string `arg:"" help:"The node's name: letters, digits, - and _."`
	authorityDir
	Out string `help:"The node's identity folder (default: nodes/NAME below the authority's). Use conf/cluster in the home of a node on this machine." placeholder:"DIR"`
}

// Help is what --help adds.
func (clusterEnrollCmd) Help() string {
	return `Writes ca.pem, gossip.key and node.pem (the node's key and certificate, valid for two
years). All of it belongs into the folder that the node's [cluster] identity names. Enroll
again before the end: a running node takes up a new node.pem by itself.`
}

// Run makes a node's files.
func (c *clusterEnrollCmd) Run(e *env) error {
	dir := c.path()
	out := cmp.Or(c.Out, filepath.Join(dir, "nodes", c.Name))
	if err := identity.Enroll(dir, c.Name, out); err != nil {
		return err
	}
	e.printf("enrolled %s: %s has what the node needs\n", c.Name, out)
	return nil
}
