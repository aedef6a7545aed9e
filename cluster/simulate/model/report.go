package model

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Report is all that a command prints and writes.
type Report struct {
	Costs   Costs    `json:"costs"`
	Value   int      `json:"valueBytes"`
	Results []Result `json:"results"`
}

// WriteTable writes the results as tables of text.
func (r Report) WriteTable(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "parameters: %v\n\nper request, over all nodes; waiting for the acknowledgement; an idle node\n", r.Costs)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "mode\tnodes\tsessions\tcopies/node\tack\treq/s/node\tmessages\tbatches\tbytes\tCPU µs\tp50 µs\tp99 µs\tidle msg/s\tidle B/s\t")
	for _, x := range r.Results {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%.0f\t%s\t%.0f\t%.2f\t%.2f\t%.0f\t%.1f\t%.0f\t%.0f\t%.1f\t%.0f\t\n", x.Mode, x.Nodes, x.Sessions, x.Copies, x.Ack, x.Rate,
			x.Messages, x.Batches, x.Bytes, x.CPU, x.P50, x.P99, x.IdleMessages, x.IdleBytes)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprint(out, "\nstorms: nodes that die, then nodes that join, all at once, under a light load\n")
	_, _ = fmt.Fprintln(w, "mode\tnodes\tsessions\twhat\tmoved\tmessages\tMB\tCPU s\tbusiest s\tdone after s\tp99 µs\t")
	for _, x := range r.Results {
		stormRow(w, x, "die", x.Failure)
		stormRow(w, x, "join", x.Joining)
	}
	return w.Flush()
}

func stormRow(w io.Writer, x Result, what string, s *Storm) {
	if s == nil {
		return
	}
	done := "-"
	if s.Seconds >= 0 {
		done = fmt.Sprintf("%.1f", s.Seconds)
	}
	_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d %s\t%d\t%d\t%.1f\t%.3f\t%.3f\t%s\t%.0f\t\n", x.Mode, x.Nodes, x.Sessions, s.Nodes, what, s.Moved, s.Messages, s.Bytes/1e6,
		s.CPU, s.Busiest, done, s.P99)
}

// WriteFiles writes the results as model.json and as plots into a folder.
func (r Report) WriteFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("results of the model: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("results of the model: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.json"), append(b, '\n'), 0o644); err != nil { //nolint:gosec // documents are for all to read
		return fmt.Errorf("results of the model: %w", err)
	}
	return r.plots(dir)
}
