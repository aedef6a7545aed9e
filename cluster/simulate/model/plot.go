package model

import (
	"fmt"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	_ "gonum.org/v1/plot/vg/vgsvg" // the format of the files
)

// curve is one picture: a figure of the results against the number of nodes.
type curve struct {
	file, title, unit string
	figure            func(Result) float64
}

var curves = []curve{
	{"cpu.svg", "Processor time for one request, over all nodes", "µs", func(r Result) float64 { return r.CPU }},
	{"bytes.svg", "Bytes between the nodes for one request", "bytes", func(r Result) float64 { return r.Bytes }},
	{"wait.svg", "Time that a change waits for its acknowledgement (median)", "µs", func(r Result) float64 { return r.P50 }},
	{"idle.svg", "Bytes that an idle node sends", "bytes/s", func(r Result) float64 { return r.IdleBytes }},
	{"failure.svg", "A node dies: messages until all is as before", "messages", func(r Result) float64 {
		if r.Failure == nil {
			return 0
		}
		return float64(r.Failure.Messages)
	}},
	{"joining.svg", "A node joins: megabytes until all is as before", "MB", func(r Result) float64 {
		if r.Joining == nil {
			return 0
		}
		return r.Joining.Bytes / 1e6
	}},
}

// plots draws each curve over the number of nodes, a line for each mode, both
// axes logarithmic.
func (r Report) plots(dir string) error {
	for _, c := range curves {
		var lines []any
		for _, mode := range r.modes() {
			var points plotter.XYs
			for _, x := range r.Results {
				if y := c.figure(x); x.Mode == mode && y > 0 {
					points = append(points, plotter.XY{X: float64(x.Nodes), Y: y})
				}
			}
			if len(points) > 1 {
				lines = append(lines, mode, points)
			}
		}
		if len(lines) == 0 {
			continue
		}
		if err := c.draw(filepath.Join(dir, c.file), lines); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
	}
	return nil
}

func (c curve) draw(file string, lines []any) error {
	p := plot.New()
	p.Title.Text = c.title
	p.X.Label.Text, p.Y.Label.Text = "nodes", c.unit
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	if err := plotutil.AddLinePoints(p, lines...); err != nil {
		return err
	}
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, file)
}

// modes are those of the results, in their order.
func (r Report) modes() []string {
	var out []string
	seen := map[string]bool{}
	for _, x := range r.Results {
		if !seen[x.Mode] {
			seen[x.Mode] = true
			out = append(out, x.Mode)
		}
	}
	return out
}
