// Command wan measures what a home line lets through: goodput over 50 ms and 100 Mbit/s with and without loss, for the
// built programs and for their peers, and what a call in the same house feels of it.
//
// The line is a user-space link between two network namespaces (internal/bench/rig). Every row of the table meets the
// same line with the same luck, one after the other, in both directions: down is from the home to the street, which for
// a home is the direction of its uplink; up is from the street to the home. Congestion control is what the table shows,
// so the link is long and thin enough that no processor decides.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sward/internal/bench/rig"
)

// plan is what is measured, and for how long.
type plan struct {
	bin, singBox, rows, columns string
	write                       string
	seconds                     time.Duration
	rtt                         time.Duration
	rate                        int64 // bits per second
	queue                       int   // bytes
	rounds                      int
	seed                        uint64
	table, call                 bool
}

func main() {
	p := plan{}
	flag.StringVar(&p.bin, "bin", "bin", "directory of the built programs")
	flag.StringVar(&p.singBox, "sing-box", "bin/tools/sing-box", "sing-box, built with_quic")
	flag.StringVar(&p.rows, "rows", "", "only rows whose name has one of these parts, with commas between")
	flag.StringVar(&p.columns, "loss", "0,0.1,1", "columns: losses in percent")
	flag.StringVar(&p.write, "write", "", "a document between whose marks the tables are written, too")
	flag.DurationVar(&p.seconds, "time", 10*time.Second, "length of a measurement")
	flag.DurationVar(&p.rtt, "rtt", 50*time.Millisecond, "round trip of the line")
	flag.Int64Var(&p.rate, "rate", 100e6, "rate of the line in bits per second, each way")
	flag.IntVar(&p.queue, "queue", 0, "bytes that the line's queue holds (default: a round trip's worth)")
	flag.IntVar(&p.rounds, "rounds", 1, "how often the table is measured; figures are medians")
	flag.Uint64Var(&p.seed, "seed", 1, "seed of the loss")
	flag.BoolVar(&p.table, "goodput", true, "measure the goodput table")
	flag.BoolVar(&p.call, "call", true, "measure what a call in the house feels")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if !errors.Is(err, rig.ErrMissing) {
			os.Exit(1)
		}
	}
}

func (p plan) run(ctx context.Context) error {
	if p.queue == 0 {
		p.queue = int(p.rate / 8 * int64(p.rtt) / int64(time.Second))
	}
	r, err := rig.New(rig.Config{Link: true, Seed: p.seed})
	if err != nil {
		return err
	}
	defer r.Close()
	m := &meter{plan: p, rig: r, handler: nil}
	m.handler = rig.Blob(m.count)
	if err := r.ServeSite(m.handler); err != nil {
		return err
	}
	if err := m.checkLine(ctx); err != nil {
		return err
	}
	var report strings.Builder
	for _, part := range []struct {
		asked bool
		run   func(context.Context) (string, error)
	}{{p.table, m.goodput}, {p.call, m.calls}} {
		if !part.asked {
			continue
		}
		text, err := part.run(ctx)
		if err != nil {
			return err
		}
		fmt.Println("\n" + text)
		report.WriteString(text + "\n")
	}
	if p.write == "" {
		return nil
	}
	return rig.Replace(filepath.Clean(p.write), "wan", rig.Machine(time.Now())+"\n\n"+report.String())
}

// roads in the order of the table, those that were asked for.
func (p plan) roads() []road {
	all := []road{
		sward("Sward", rig.Programs{Bin: p.bin}),
		sward("Sward, UDP blocked (TCP)", rig.Programs{Bin: p.bin, TCP: true}),
		upstreamQUIC(),
		kernelTCP("cubic"),
		kernelTCP("bbr"),
		singBox("sing-box hysteria2", p.singBox, 0),
		singBox(fmt.Sprintf("sing-box hysteria2, told %d Mbit/s", p.rate/1e6), p.singBox, p.rate/1e6),
	}
	return keep(p.rows, all)
}

func keep(parts string, all []road) (kept []road) {
	for _, r := range all {
		for part := range strings.SplitSeq(parts, ",") {
			if strings.Contains(strings.ToLower(r.name), strings.ToLower(part)) {
				kept = append(kept, r)
				break
			}
		}
	}
	return kept
}
