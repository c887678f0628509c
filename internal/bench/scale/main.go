// Command scale measures how many edges one relay can keep: what an idle edge costs it in memory and in CPU, and how
// fast a thousand of them are back after a restart, without falling over it all at once.
//
// The relay is a process of its own, so that its memory can be told from that of the edges: this program again, asked
// for by an environment variable, with the real relay in it and a hub that knows nobody. The idle edges are clients that
// share a few sockets and do on the wire what an edge does: greeting, channel, a Status every thirty seconds. Those that
// come back after the restart are tunnel.Client, with its pauses, each on a socket of its own. All of it on loopback.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if asRelay() {
		exit(runRelay(ctx, os.Stdin, os.Stdout))
	}
	plan := defaultPlan()
	plan.flags(flag.CommandLine)
	flag.Parse()
	exit(plan.run(ctx, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// plan is how much is measured.
type plan struct {
	edges   int
	sockets int           // that the idle edges share
	dials   int           // of them at once
	idle    time.Duration // of the measurement of CPU
	storm   int           // edges that come back after a restart; 0 leaves it out
	status  time.Duration // how often those speak
	heap    string        // file for a heap profile of the relay
}

func defaultPlan() plan {
	return plan{edges: 10_000, sockets: 8, dials: 64, idle: 30 * time.Second, storm: 1000, status: statusEvery}
}

func (p *plan) flags(f *flag.FlagSet) {
	f.IntVar(&p.edges, "edges", p.edges, "idle edges")
	f.IntVar(&p.sockets, "sockets", p.sockets, "sockets that they share")
	f.IntVar(&p.dials, "dials", p.dials, "of them that connect at once")
	f.DurationVar(&p.idle, "idle", p.idle, "how long they are looked at when they are idle")
	f.IntVar(&p.storm, "storm", p.storm, "edges that come back after a restart; 0 leaves it out")
	f.DurationVar(&p.status, "status", p.status, "how often those tell their status, by which they find out about a crash")
	f.StringVar(&p.heap, "heap", "", "file for a heap profile of the relay with its idle edges")
}

func (p plan) run(ctx context.Context, out io.Writer) error {
	for _, of := range []struct {
		flag string
		n    int
	}{{"edges", p.edges}, {"sockets", p.sockets}, {"dials", p.dials}} {
		if of.n < 1 {
			return fmt.Errorf("-%s %d: a measurement takes at least one", of.flag, of.n)
		}
	}
	if err := p.measureIdle(ctx, out); err != nil {
		return err
	}
	if p.storm < 1 {
		return nil
	}
	fmt.Fprintf(out, "\n| edges of a relay that started again | after | first back after, s | half | nine in ten | all | most in one second | CPU of the relay, s |\n")
	fmt.Fprintf(out, "|---|---|---|---|---|---|---|---|\n")
	for _, end := range []struct {
		name string
		of   func(*relayProcess)
	}{{"a stop in good order", (*relayProcess).stop}, {"a crash", (*relayProcess).crash}} {
		if err := p.measureStorm(ctx, out, end.name, end.of); err != nil {
			return fmt.Errorf("after %s: %w", end.name, err)
		}
	}
	return nil
}

// measureIdle connects all edges, waits until what that cost is cleared away, and looks at the relay for a while.
func (p plan) measureIdle(ctx context.Context, out io.Writer) error {
	r, err := startRelay(ctx, "")
	if err != nil {
		return err
	}
	defer r.stop()
	empty, err := r.look()
	if err != nil {
		return err
	}
	began := time.Now()
	crowd, err := p.connect(ctx, r)
	if err != nil {
		return err
	}
	defer crowd.close()
	took := time.Since(began)
	before, err := r.look()
	if err != nil {
		return err
	}
	select {
	case <-time.After(p.idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := r.look()
	if err != nil {
		return err
	}
	if after.Edges != p.edges {
		return fmt.Errorf("the relay has %d edges after %v, want %d", after.Edges, p.idle, p.edges)
	}
	if p.heap != "" {
		if err := r.heapProfile(p.heap); err != nil {
			return err
		}
	}
	each := func(now, then uint64) float64 { return float64(now-min(now, then)) / 1024 / float64(p.edges) }
	trimmed, err := r.trim()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n| idle edges | connected in | RSS of the relay, MiB | once collected | of that for each edge, KiB: RSS | heap | stacks | goroutines for each | CPU, %% of a core | refused and tried again |\n")
	fmt.Fprintf(out, "|---|---|---|---|---|---|---|---|---|---|\n")
	fmt.Fprintf(out, "| %d | %.1f s (%.0f/s) | %.0f | %.0f | %.1f | %.1f | %.1f | %.2f | %.1f | %d |\n",
		p.edges, took.Seconds(), float64(p.edges)/took.Seconds(), float64(after.RSS)/(1<<20), float64(trimmed.RSS)/(1<<20), each(trimmed.RSS, empty.RSS),
		each(trimmed.Heap, empty.Heap), each(trimmed.Stacks, empty.Stacks), float64(after.Goroutines-empty.Goroutines)/float64(p.edges),
		100*float64(after.CPU-before.CPU)/float64(after.At.Sub(before.At)), crowd.refused.Load())
	return nil
}
