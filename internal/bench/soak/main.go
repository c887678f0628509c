// Command soak lends a line for a month in a quarter of an hour, and holds the owner's caps to the byte.
//
// A hub, a relay and an edge run in one process, joined by real QUIC on loopback, and sixty-four streams take all that they
// get. The clock is the soak's: it walks through the last seconds before each midnight and the first after it, where caps
// are reset, and leaps to the next evening. The month has a day of 25 hours in it, a billing day in its middle, restarts,
// and kills: the line is cut between two bytes, and what is on the disk at that moment is what the next start finds.
//
// What the edge says it has used is compared with what crossed its sockets, counted beside it, after every night.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := plan{out: os.Stdout}
	flag.DurationVar(&p.length, "for", 15*time.Minute, "length, by the clock of the wall")
	flag.StringVar(&p.dir, "dir", "", "keep the state here (default: a temporary directory)")
	flag.Parse()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
