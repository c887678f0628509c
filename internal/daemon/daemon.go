// Package daemon is what every role needs in order to run as a program and has
// nothing to do with the network: run named workers until the first fails or
// the operator stops them, read a config file strictly, write a file whole or
// not at all, set up the log, and answer a debugger on loopback.
//
// A program is a page: read the config, open the stores, make the workers, and
//
//	return daemon.Run(ctx, log, relay.Worker(), gateway.Worker(), daemon.Debug(l, reg))
//
// The list of workers is the order in which they start. They all stop on the
// same context, and the stores close after Run returned.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"slices"
	"time"
)

// patience is how long a worker may take to stop before the log names it. The
// longest polite ending is a tunnel that drains its streams, which gets 10 s.
const patience = 15 * time.Second

// A Worker is one long-running part of a program. Run blocks until ctx ends,
// and returns when everything it started has stopped. A worker that returns nil
// earlier has finished its work; one that returns an error ends the program.
type Worker struct {
	Name string
	Run  func(context.Context) error
}

// Run runs all workers until ctx ends, or one fails, or all have finished, and
// returns after every one has returned: with the first failure, named after its
// worker, or nil. Each worker's goroutines carry its name as the pprof label
// "worker". Later failures are logged, and so are the names of workers that
// have not stopped 15 s after they were asked to.
func Run(ctx context.Context, log *slog.Logger, workers ...Worker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type result struct {
		index int
		err   error
	}
	results := make(chan result, len(workers)) // none waits for another to be heard
	for i, w := range workers {
		go pprof.Do(ctx, pprof.Labels("worker", w.Name), func(ctx context.Context) {
			results <- result{i, w.Run(ctx)}
		})
	}

	var first error
	running := make([]int, len(workers))
	for i := range running {
		running[i] = i
	}
	stopping := ctx.Done()
	var late <-chan time.Time
	for len(running) > 0 {
		select {
		case r := <-results:
			running = slices.DeleteFunc(running, func(i int) bool { return i == r.index })
			switch name := workers[r.index].Name; {
			case r.err == nil, ctx.Err() != nil && errors.Is(r.err, context.Canceled):
				log.Debug("worker stopped", "worker", name)
			case first == nil:
				first = fmt.Errorf("%s: %w", name, r.err)
				cancel()
			default:
				log.Error("worker failed while stopping", "worker", name, "err", r.err)
			}
		case <-stopping:
			stopping = nil
			timer := time.NewTimer(patience)
			defer timer.Stop()
			late = timer.C
		case <-late:
			for _, i := range running {
				log.Warn("worker has not stopped", "worker", workers[i].Name, "after", patience)
			}
		}
	}
	return first
}
