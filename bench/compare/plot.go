package main

import (
	"image/color"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	_ "gonum.org/v1/plot/vg/vgsvg" // the format of the files
)

// line is a curve of a plot: one system over several cells or node counts.
type line struct {
	name   string
	color  color.Color
	points plotter.XYs
}

var palette = []color.Color{
	color.RGBA{R: 0x1b, G: 0x6c, B: 0xa8, A: 0xff}, color.RGBA{R: 0xc8, G: 0x55, B: 0x3d, A: 0xff},
	color.RGBA{R: 0x4a, G: 0x8f, B: 0x3c, A: 0xff}, color.RGBA{R: 0x7d, G: 0x5b, B: 0xa6, A: 0xff},
	color.RGBA{R: 0x8a, G: 0x6d, B: 0x1f, A: 0xff},
}

// plots draws what a picture says better than a table: what a request costs as its
// session grows, and as nodes are added.
func (r *results) plots(dir string) error {
	size := map[string]float64{"count": 0, "cart4k": 4, "cart16k": 16, "cart64k": 64}
	var bySize, byBytes []line
	for i, name := range []string{"repl-all", "tomcat-async", "tomcat-backup", "redis-hash"} {
		cost, wire := line{name: name, color: palette[i]}, line{name: name, color: palette[i]}
		for _, c := range cells {
			kib, ok := size[c.name]
			if v := r.of(name, c.name, cpuOf); ok && v.n > 0 {
				cost.points = append(cost.points, plotter.XY{X: kib, Y: v.median})
			}
			if v := r.of(name, c.name, bytesOf); ok && v.high > 0 {
				wire.points = append(wire.points, plotter.XY{X: kib, Y: v.median / 1024})
			}
		}
		bySize, byBytes = append(bySize, cost), append(byBytes, wire)
	}
	var byNodes []line
	for i, family := range [][]string{{"linked", "dist-3", "dist-6"}, {"linked", "repl-all"}, {"tomcat", "tomcat-async"}, {"tomcat", "tomcat-backup"}} {
		l := line{name: strings.Join(family, ", "), color: palette[i]}
		for _, name := range family {
			for _, s := range systems {
				if v := r.of(name, "count", cpuOf); s.name == name && v.n > 0 {
					l.points = append(l.points, plotter.XY{X: float64(s.nodes), Y: v.median})
				}
			}
		}
		byNodes = append(byNodes, l)
	}
	for _, p := range []struct {
		file, title, x, y string
		lines             []line
	}{
		{"cost-by-size.svg", "Cost of a request that changes a session, 3 nodes", "size of the session, KiB", "CPU µs per request, all nodes", bySize},
		{"bytes-by-size.svg", "Bytes between nodes", "size of the session, KiB", "KiB per request", byBytes},
		{"cost-by-nodes.svg", "Cost of a counter in the session", "nodes", "CPU µs per request, all nodes", byNodes},
	} {
		if err := draw(filepath.Join(dir, p.file), p.title, p.x, p.y, p.lines); err != nil {
			return err
		}
	}
	return nil
}

// draw writes one plot; curves of fewer than two points are left out, and a plot
// without curves is not drawn.
func draw(file, title, x, y string, lines []line) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	drawn := 0
	for _, l := range lines {
		if len(l.points) < 2 {
			continue
		}
		curve, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return err
		}
		curve.Color, dots.Color, curve.Width = l.color, l.color, vg.Points(1.5)
		p.Add(curve, dots)
		p.Legend.Add(l.name, curve)
		drawn++
	}
	if drawn == 0 {
		return nil
	}
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, file)
}
