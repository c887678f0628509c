package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunStopsAllOnFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		stopped := 0
		err := Run(t.Context(), quiet(),
			Worker{"gateway", func(ctx context.Context) error { <-ctx.Done(); stopped++; return ctx.Err() }},
			Worker{"ledger", func(context.Context) error { return broken }},
		)
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "ledger: ") {
			t.Errorf("got %v, want the ledger's failure", err)
		}
		if stopped != 1 {
			t.Error("Run returned before the gateway had stopped")
		}
	})
}

func TestRunReturnsNilWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := Run(ctx, quiet(),
			Worker{"once", func(context.Context) error { return nil }}, // ends nothing
			Worker{"wrapped", func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("accept: %w", context.Canceled) }},
			Worker{"plain", func(ctx context.Context) error { <-ctx.Done(); return nil }},
		)
		if err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if ctx.Err() == nil {
			t.Error("Run returned when one worker had finished, before it was asked to stop")
		}
	})
}

func TestRunReturnsWhenAllHaveFinished(t *testing.T) {
	once := Worker{"once", func(context.Context) error { return nil }}
	if err := Run(t.Context(), quiet(), once, once); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if err := Run(t.Context(), quiet()); err != nil {
		t.Errorf("without workers: got %v, want nil", err)
	}
}

func TestRunNamesLaggardsAndLaterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		err := Run(t.Context(), slog.New(slog.NewTextHandler(&log, nil)),
			Worker{"first", func(context.Context) error { return errors.New("one") }},
			Worker{"slow", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(patience + time.Second)
				return errors.New("two")
			}},
			Worker{"quick", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(patience - time.Second); return nil }},
		)
		if got, want := fmt.Sprint(err), "first: one"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, want := range []string{`msg="worker has not stopped" worker=slow`, `worker=slow err=two`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log lacks %q:\n%s", want, &log)
			}
		}
		if strings.Contains(log.String(), "quick") {
			t.Errorf("a worker that stopped in time is in the log:\n%s", &log)
		}
	})
}

func TestRunLabelsGoroutines(t *testing.T) {
	var label string
	err := Run(t.Context(), quiet(), Worker{"tunnel", func(ctx context.Context) error {
		label, _ = pprof.Label(ctx, "worker")
		return nil
	}})
	if err != nil || label != "tunnel" {
		t.Errorf("label is %q, %v, want tunnel", label, err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
