// Command peers measures the built programs beside the proxies and tunnels that a buyer would compare them with: client →
// entry → tunnel → exit → web server, the same road for each, over interfaces that cost nothing.
//
// Everything runs at once and idles until it is its turn; a round goes through all contenders before the next begins, so
// that what else the machine does falls on all of them, and what is compared ran side by side: a ratio is the median of
// the rounds' ratios, never a ratio of medians. Nothing is pinned to a processor: on two of them, pinning decides the
// result. The load comes from a process of its own, so the processor time in the table is that of entry and exit alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"sward/internal/bench/rig"
)

// plan is what is measured, and how much of it.
type plan struct {
	bin, singBox, rows, write string
	rounds                    int
	size                      int64
	time                      time.Duration
	clients                   int
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] { // the children that this program is for itself
		case "load":
			exit(load(os.Args[2:]))
		case "goproxy":
			exit(plainProxy(os.Args[2]))
		}
	}
	p := plan{}
	flag.StringVar(&p.bin, "bin", "bin", "directory of the built programs")
	flag.StringVar(&p.singBox, "sing-box", "bin/tools/sing-box", "sing-box, built with_quic,with_utls")
	flag.StringVar(&p.rows, "rows", "", "only rows whose name has one of these parts, with commas between")
	flag.StringVar(&p.write, "write", "", "a document between whose marks the table is written, too")
	flag.IntVar(&p.rounds, "rounds", 5, "how often everything is measured")
	flag.Int64Var(&p.size, "size", 256<<20, "bytes of a bulk measurement")
	flag.DurationVar(&p.time, "time", 2*time.Second, "length of a rate measurement")
	flag.IntVar(&p.clients, "clients", 64, "clients of a rate measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(p.run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil && !errors.Is(err, rig.ErrMissing) {
		os.Exit(1)
	}
	os.Exit(0)
}

func (p plan) run(ctx context.Context) error {
	r, err := rig.New(rig.Config{})
	if err != nil {
		return err
	}
	defer r.Close()
	b := &bench{plan: p, rig: r}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if err := b.startSite(); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	defer b.close()
	if err := b.rounds(ctx); err != nil {
		return err
	}
	text := b.report()
	fmt.Println("\n" + text)
	if p.write == "" {
		return nil
	}
	return rig.Replace(filepath.Clean(p.write), "peers", rig.Machine(time.Now())+" "+text)
}
