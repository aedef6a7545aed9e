package model

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/serval-server/serval/cluster/replica"
)

// Command is the model as part of a command: which clusters to run.
type Command struct {
	nodes, modes, costs, ack, out string
	o                             Options
	copies                        int
}

// Flags declares a command's flags.
func Flags(f *flag.FlagSet) *Command {
	c := &Command{}
	f.StringVar(&c.nodes, "nodes", "3,10,30,100", "model: sizes of the cluster")
	f.StringVar(&c.modes, "modes", "repl,dist2,dist3", "model: repl, or dist and the number of owners")
	f.StringVar(&c.ack, "ack", "one", "model: none, one, quorum or all")
	f.StringVar(&c.costs, "costs", "", "model: parameters that differ, such as batch=15us,packet=60")
	f.StringVar(&c.out, "out", "", "model: a folder for model.json and plots")
	f.IntVar(&c.o.Sessions, "sessions", 20_000, "model: sessions of the cluster")
	f.IntVar(&c.copies, "copies", 400_000, "model: copies in all nodes together, at most; more sessions than that allows are not made")
	f.Float64Var(&c.o.Rate, "rate", 2000, "model: requests per node and second")
	f.IntVar(&c.o.Requests, "requests", 0, "model: requests that are measured; 0: as many as are affordable")
	f.IntVar(&c.o.Value, "value", 200, "model: bytes of the attribute beside the counter")
	f.IntVar(&c.o.Kill, "kill", 1, "model: nodes that die at once")
	f.IntVar(&c.o.Join, "join", 1, "model: nodes that join at once")
	return c
}

// Run runs the clusters, prints the results and writes them to the folder.
func (c *Command) Run(out, progress io.Writer) error {
	r := Report{Costs: DefaultCosts(), Value: c.o.Value}
	if err := r.Costs.Set(c.costs); err != nil {
		return err
	}
	acks := map[string]replica.AckPolicy{"none": replica.AckNone, "one": replica.AckOne, "quorum": replica.AckQuorum, "all": replica.AckAll}
	ack, ok := acks[c.ack]
	if !ok {
		return fmt.Errorf("-ack %q is none of none, one, quorum, all", c.ack)
	}
	for _, mode := range strings.Split(c.modes, ",") {
		owners, err := ownersOf(mode)
		if err != nil {
			return err
		}
		for _, size := range strings.Split(c.nodes, ",") {
			n, err := strconv.Atoi(size)
			if err != nil || n < 2 || n > 5000 {
				return fmt.Errorf("-nodes %q: 2 to 5000 are possible", size)
			}
			o := c.o
			o.Nodes, o.Owners, o.Ack, o.Costs, o.Seed = n, owners, ack, r.Costs, 1
			o.Sessions = max(1, min(o.Sessions, c.copies/o.copies()))
			_, _ = fmt.Fprintf(progress, "%s, %d nodes, %d sessions\n", o.Mode(), n, o.Sessions)
			r.Results = append(r.Results, Run(o))
		}
	}
	if err := r.WriteTable(out); err != nil {
		return err
	}
	if c.out == "" {
		return nil
	}
	return r.WriteFiles(c.out)
}

func ownersOf(mode string) (int, error) {
	if strings.EqualFold(mode, "repl") {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(strings.ToLower(mode), "dist"))
	if err != nil || n < 2 || !strings.HasPrefix(strings.ToLower(mode), "dist") {
		return 0, fmt.Errorf("-modes %q: repl, dist2, dist3 and so on are possible", mode)
	}
	return n, nil
}
