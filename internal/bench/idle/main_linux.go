// Command idle measures what the home agent costs the machine that it runs on: memory, processor and wake-ups while it is
// connected and nothing is asked of it, and the same while it carries 100 Mbit/s.
//
// The built sward-edge runs as an owner starts it, with every switch as it is from the start, in a home that is a network
// namespace (internal/bench/rig), connected to a real relay and hub. It is asked for nothing itself: what is told comes from
// the kernel's account of its threads.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"sward/internal/bench/rig"
)

// Limits that the figures are held against.
const (
	rssLimit = 30 << 20 // bytes, idle
	cpuLimit = 0.5      // percent of a core, idle
)

const (
	loadStreams = 8
	pieceSize   = 32 << 10         // bytes that a stream takes at a time
	settleTime  = 40 * time.Second // an edge gives memory back when nothing has run for half a minute
)

type plan struct {
	bin, write string
	idle, load time.Duration
	rate       int64 // bits per second
}

func main() {
	var p plan
	flag.StringVar(&p.bin, "bin", "bin", "directory of the built programs")
	flag.StringVar(&p.write, "write", "", "a document between whose marks the table is written, too")
	flag.DurationVar(&p.idle, "idle", time.Minute, "length of an idle measurement")
	flag.DurationVar(&p.load, "load", 20*time.Second, "length of the loaded one")
	flag.Int64Var(&p.rate, "rate", 100e6, "load in bits per second")
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
	r, err := rig.New(rig.Config{})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.ServeSite(rig.Blob(nil)); err != nil {
		return err
	}
	n, err := r.StartNetwork(ctx, rig.Programs{Bin: p.bin})
	if err != nil {
		return err
	}
	if err := n.Age(ctx); err != nil {
		return err
	}
	var rows [][]string
	measure := func(name string, what func(context.Context) (int64, error)) error {
		before, err := accountOf(n.Edge.PID())
		if err != nil {
			return err
		}
		moved, err := what(ctx)
		if err != nil {
			return err
		}
		after, err := accountOf(n.Edge.PID())
		if err != nil {
			return err
		}
		rows = append(rows, row(name, before, after, moved))
		return nil
	}
	idle := func(ctx context.Context) (int64, error) { return 0, wait(ctx, p.idle) }
	if err := wait(ctx, settleTime); err != nil {
		return err
	}
	if err := measure("idle, after its start", idle); err != nil {
		return err
	}
	if err := measure(fmt.Sprintf("at %d Mbit/s, %d streams", p.rate/1e6, loadStreams), func(ctx context.Context) (int64, error) {
		return p.carry(ctx, n)
	}); err != nil {
		return err
	}
	if err := wait(ctx, settleTime); err != nil {
		return err
	}
	if err := measure("idle, after that", idle); err != nil {
		return err
	}
	return p.report(rows)
}

// carry downloads at the plan's rate through the network, and returns how much came.
func (p plan) carry(ctx context.Context, n *rig.Network) (total int64, err error) {
	bytes := p.rate / 8
	allowance := rate.NewLimiter(rate.Limit(bytes), pieceSize*loadStreams)
	ctx, cancel := context.WithTimeout(ctx, p.load)
	defer cancel()
	var streams errgroup.Group
	moved := make([]int64, loadStreams)
	for i := range loadStreams {
		streams.Go(func() error {
			c, err := n.Dial(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/blob?n=%d", rig.Site, 2*bytes*int64(p.load.Seconds()+1)), nil)
			if err != nil {
				return err
			}
			if err := request.Write(c); err != nil {
				return err
			}
			piece := make([]byte, pieceSize)
			for allowance.WaitN(ctx, pieceSize) == nil {
				got, err := io.ReadFull(c, piece)
				if moved[i] += int64(got); err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	err = streams.Wait()
	for _, m := range moved {
		total += m
	}
	return total, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func row(name string, before, after account, moved int64) []string {
	took := after.at.Sub(before.at)
	cpu := 100 * float64(after.cpu-before.cpu) / float64(took)
	cells := []string{
		name, fmt.Sprintf("%.1f", mib(after.rss)), fmt.Sprintf("%.1f", mib(after.anonymous)),
		fmt.Sprintf("%.2f %%", cpu), fmt.Sprintf("%.1f", float64(after.switches-before.switches)/took.Seconds()),
		fmt.Sprint(after.threads), "",
	}
	if moved > 0 {
		cells[6] = fmt.Sprintf("carried %.0f Mbit/s", float64(moved)*8/1e6/took.Seconds())
	} else {
		cells[6] = fmt.Sprintf("memory %.2f, processor %.2f of the limit", float64(after.rss)/rssLimit, cpu/cpuLimit)
	}
	return cells
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (p plan) report(rows [][]string) error {
	info, err := os.Stat(p.bin + "/sward-edge")
	if err != nil {
		return err
	}
	table := rig.Table{Head: []string{"", "RSS, MiB", "of it not the program's file", "of a core", "wake-ups a second", "threads", ""}, Rows: rows}
	text := fmt.Sprintf("%s sward-edge has %.1f MB; idle for %s, loaded for %s. The limits are %d MiB and %.1f %% of a core.\n\n%s",
		rig.Machine(time.Now()), float64(info.Size())/1e6, p.idle, p.load, rssLimit>>20, cpuLimit, table)
	fmt.Println(text)
	if p.write == "" {
		return nil
	}
	return rig.Replace(p.write, "idle", text)
}
