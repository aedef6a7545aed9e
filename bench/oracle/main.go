// Command oracle replays recorded answers of a real Tomcat against Serval and
// lists every difference that docs/conformance.md does not explain.
//
//	go run ./bench/oracle [-rules FILE] [-v] FILE...
//
// A FILE is a recording, gzipped or not. For each the applications in it are
// deployed on a server of their own, in this process, on a free port of the
// loopback interface; the cases are sent over real sockets, in parallel. The
// last line is "N unexplained, M explained"; the exit status is 1 if N > 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sync/errgroup"

	"github.com/serval-server/serval/bench/oracle/fixture"
	"github.com/serval-server/serval/bench/oracle/replay"
	"github.com/serval-server/serval/bench/oracle/rules"
)

func main() {
	ruleFile := flag.String("rules", "docs/conformance.md", "the document with the `table` of rules")
	verbose := flag.Bool("v", false, "also print the differences that are explained, and how often each rule was used")
	parallel := flag.Int("parallel", 0, "requests in flight (0: 16)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: oracle [flags] FILE...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	table, err := readRules(*ruleFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
	n, err := report(ctx, os.Stdout, table, flag.Args(), replay.Options{Start: fixture.Start, Parallel: *parallel}, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

func readRules(name string) (*rules.Table, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := rules.Parse(f, replay.KnownVariable)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

// replayAll replays the files beside each other and returns the results in
// their order.
func replayAll(ctx context.Context, files []string, opt replay.Options) ([]*replay.Result, error) {
	results := make([]*replay.Result, len(files))
	g, ctx := errgroup.WithContext(ctx)
	for i, name := range files {
		rec, err := replay.Load(name)
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		g.Go(func() (err error) {
			results[i], err = replay.Run(ctx, rec, opt)
			return err
		})
	}
	return results, g.Wait()
}

// report replays the files and prints what is not explained; it returns how
// many differences that are.
func report(ctx context.Context, w io.Writer, table *rules.Table, files []string, opt replay.Options, verbose bool) (unexplained int, err error) {
	explained := 0
	results, err := replayAll(ctx, files, opt)
	if err != nil {
		return 0, err
	}
	for _, res := range results {
		for i := range res.Differences {
			d := &res.Differences[i]
			rule := table.Explain(d)
			switch {
			case rule == nil:
				unexplained++
				fmt.Fprintln(w, d)
			case verbose:
				fmt.Fprintf(w, "(explained by line %d) %s\n", rule.Line, d)
				fallthrough
			default:
				explained++
			}
		}
		fmt.Fprintf(w, "%s: %d cases\n", res.Name, res.Checked)
	}
	if verbose {
		for _, r := range table.Rules {
			fmt.Fprintf(w, "rule at line %d: %d differences\n", r.Line, r.Hits())
		}
	}
	fmt.Fprintf(w, "%d unexplained, %d explained\n", unexplained, explained)
	return unexplained, nil
}
