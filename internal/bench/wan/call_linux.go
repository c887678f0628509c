package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"sward/internal/bench/rig"
)

// A call in the house: a paced flow from the home to the street, beside which a road downloads.
const (
	callRate   = 4e6 // bits per second
	callPacket = 1000
	// bloat is how long a packet may wait in a home router's queue: a few hundred milliseconds is common, and it is
	// where delay-based yielding shows.
	bloat = 250 * time.Millisecond
)

// calls is the home-friendly table: what the call's packets are late by, while each road downloads as fast as it can.
func (m *meter) calls(ctx context.Context) (string, error) {
	queue := int(m.plan.rate / 8 * int64(bloat) / int64(time.Second))
	table := rig.Table{Head: []string{"beside the call", "Mbit/s", "late by, p50 ms", "p95 ms", "lost"}}
	quiet := road{name: "nothing"}
	for _, road := range append([]road{quiet}, m.callRoads()...) {
		row, err := m.beside(ctx, road, queue)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(err, rig.ErrMissing) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", road.name, err)
			continue
		}
		if err != nil {
			return "", fmt.Errorf("a call beside %s: %w", road.name, err)
		}
		table.Rows = append(table.Rows, append([]string{road.name}, row...))
	}
	return fmt.Sprintf("A paced flow of %g Mbit/s from the home, beside a download of one stream through the same uplink, whose router holds %s of packets:\n\n%s",
		callRate/1e6, bloat, table), nil
}

// callRoads are the roads of the goodput table, and Sward without yielding.
func (m *meter) callRoads() []road {
	return append(m.plan.roads(), keep(m.plan.rows, []road{sward("Sward, yield: 0s", rig.Programs{Bin: m.plan.bin, EdgeFile: "yield: 0s"})})...)
}

func (m *meter) beside(ctx context.Context, road road, queue int) ([]string, error) {
	var rate float64
	length := m.plan.seconds
	var wait sync.WaitGroup
	var failed error
	m.rig.Line.Shape(rig.Shape{})
	if road.open != nil {
		lane, err := road.open(ctx, m.rig, m.handler)
		if err != nil {
			return nil, err
		}
		defer lane.close()
		m.shape(0, queue)
		if err := lane.renew(ctx); err != nil {
			return nil, err
		}
		if _, err := m.down(ctx, lane.dial, settle); err != nil {
			return nil, err
		}
		wait.Go(func() { rate, failed = m.down(ctx, lane.dial, length) })
	}
	m.shape(0, queue)
	late, lost, err := m.call(length)
	wait.Wait()
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	fmt.Printf("%-24s %6.1f Mbit/s, the call is late by %.1f ms (p95 %.1f), %d lost\n", road.name, rate, rig.Median(late), rig.Quantile(late, 0.95), lost)
	return []string{
		fmt.Sprintf("%.1f", rate), fmt.Sprintf("%.1f", rig.Median(late)), fmt.Sprintf("%.1f", rig.Quantile(late, 0.95)),
		fmt.Sprintf("%.1f %%", 100*float64(lost)/float64(max(lost+len(late), 1))),
	}, nil
}

// call sends the paced flow and returns by how much each packet was later than the empty line makes it, in milliseconds.
func (m *meter) call(length time.Duration) (late []float64, lost int, err error) {
	far, err := m.rig.Street.ListenPacket(rig.Door + ":0")
	if err != nil {
		return nil, 0, err
	}
	defer far.Close()
	near, err := m.rig.Home.ListenPacket(rig.Home + ":0")
	if err != nil {
		return nil, 0, err
	}
	defer near.Close()
	began := time.Now()
	var heard sync.WaitGroup
	heard.Go(func() {
		buf := make([]byte, 2*callPacket)
		if far.SetReadDeadline(began.Add(length+2*bloat+m.plan.rtt)) != nil {
			return
		}
		for {
			n, _, err := far.ReadFrom(buf)
			if err != nil {
				return
			}
			if n == callPacket {
				sent := time.Duration(binary.BigEndian.Uint64(buf))
				late = append(late, (time.Since(began)-sent-m.plan.rtt/2).Seconds()*1000)
			}
		}
	})
	every := time.Duration(callPacket * 8 * float64(time.Second) / callRate)
	packet, sent := make([]byte, callPacket), 0
	for next := began; next.Before(began.Add(length)); next = next.Add(every) {
		time.Sleep(time.Until(next))
		binary.BigEndian.PutUint64(packet, uint64(time.Since(began)))
		if _, err := near.WriteTo(packet, far.LocalAddr()); err == nil {
			sent++
		}
	}
	heard.Wait()
	return late, sent - len(late), nil
}
