package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"sward/edge"
	"sward/policy"
)

const (
	streams = 64 // at once, each of a client that begins the next when one ends
	// dayCap and monthCap in bytes. A night moves some hundred megabytes at most on a small machine: the day's cap is reached
	// in many, and the month's before the month is over.
	dayCap   = 48 << 20
	monthCap = 640 << 20
	billing  = 25 // day of the month: that on which summer time ends
	zoneName = "Europe/Berlin"
	// slack in bytes is what the reads of all streams may have under way at once: 32 KiB each, both ways. A read that brings
	// what cannot be delivered any more is not used up, though it crossed the line.
	slack = streams * 2 * 32 << 10
	// nightLeast is what one night takes at least, the network's start included.
	nightLeast = 8 * time.Second
)

// plan is one soak.
type plan struct {
	length time.Duration
	dir    string
	out    io.Writer
	log    *slog.Logger
}

// evening is one night of the month: what happens in it besides its midnight.
type evening struct {
	date    time.Time // of the evening, in the provider's zone
	kill    bool      // the edge is killed before midnight
	killToo bool      // and after it
	restart bool      // it is stopped and started in good order
}

// evenings are the nights of a month around the billing day, on which summer time ends, and those around its begin. A short
// soak has only the first.
func evenings(length time.Duration) ([]evening, error) {
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		return nil, err
	}
	var all []evening
	for n := range 31 {
		all = append(all, evening{
			date: time.Date(2026, time.October, 5+n, 0, 0, 0, 0, zone),
			kill: n%3 == 1, killToo: n%6 == 4, restart: n%5 == 3,
		})
	}
	for n := range 3 {
		all = append(all, evening{date: time.Date(2027, time.March, 26+n, 0, 0, 0, 0, zone), kill: n == 1})
	}
	if length >= time.Duration(len(all))*nightLeast {
		return all, nil
	}
	few := []evening{
		{date: time.Date(2026, time.October, 24, 0, 0, 0, 0, zone), kill: true}, // into the billing day, which has 25 hours
		{date: time.Date(2026, time.October, 25, 0, 0, 0, 0, zone), kill: true, killToo: true, restart: true},
	}
	return few[:max(1, min(len(few), int(length/nightLeast)))], nil
}

// settings are those of the owner: no limit but the caps.
func settings() edge.Settings {
	s := edge.DefaultSettings()
	s.Caps = edge.Caps{Day: policy.Size(dayCap), Month: policy.Size(monthCap), BillingDay: billing, TimeZone: zoneName}
	s.Streams, s.PauseOn = 2*streams, edge.PauseOn{}
	return s
}

// run walks through the nights and reports each. The error joins all that was not as it should be.
func (p plan) run(ctx context.Context) error {
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "sward-soak-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p.dir = dir
	}
	nights, err := evenings(p.length)
	if err != nil {
		return err
	}
	h := newHome(p)
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "evening\tday used\tof\tmonth used\tof\tlost by kills\tcrossed the line\tkills\trefused by")
	var faults []error
	for i, n := range nights {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		left := p.length - time.Since(h.began)
		r, err := h.night(ctx, n, left/time.Duration(len(nights)-i))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", n.date.Format(time.DateOnly), err))
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", n.date.Format(time.DateOnly), r.day, dayCap, r.month, monthCap, r.lost, r.crossed, r.kills, r.reason)
	}
	fmt.Fprintf(table, "%s, %d nights, %d streams, %d kills\n", time.Since(h.began).Round(time.Second), len(nights), streams, h.kills)
	if err := table.Flush(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
