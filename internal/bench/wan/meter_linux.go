package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sward/internal/bench/rig"
)

const (
	// endless in bytes is more than any measurement moves.
	endless = 1 << 40
	// settle is an unmeasured transfer before a measured one: the start of a connection is another question.
	settle = time.Second
	// pause between two measurements, in which queues drain.
	pause = 300 * time.Millisecond
)

// meter drives over roads and counts.
type meter struct {
	plan    plan
	rig     *rig.Rig
	handler http.Handler
	sunk    atomic.Int64 // bytes that a sink received
}

func (m *meter) count(n int) { m.sunk.Add(int64(n)) }

func (m *meter) shape(loss float64, queue int) {
	m.rig.Line.Shape(rig.Shape{Delay: m.plan.rtt / 2, Loss: loss / 100, Rate: m.plan.rate, Queue: queue})
	m.rig.Line.Seed(m.plan.seed)
}

// checkLine measures the line's round trip before anything else is believed.
func (m *meter) checkLine(ctx context.Context) error {
	m.shape(0, m.plan.queue)
	socket, err := m.rig.Home.ListenPacket(rig.Home + ":9000")
	if err != nil {
		return err
	}
	defer socket.Close()
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := socket.ReadFrom(buf)
			if err != nil {
				return
			}
			socket.WriteTo(buf[:n], from) //nolint:errcheck // a lost echo is a timeout below
		}
	}()
	near, err := m.rig.Street.ListenPacket(rig.Door + ":0")
	if err != nil {
		return err
	}
	defer near.Close()
	to := socket.LocalAddr()
	var trips []float64
	for range 30 {
		began := time.Now()
		if err := near.SetDeadline(began.Add(time.Second)); err != nil {
			return err
		}
		if _, err := near.WriteTo([]byte("echo"), to); err != nil {
			return err
		}
		if _, _, err := near.ReadFrom(make([]byte, 64)); err != nil {
			return fmt.Errorf("the line carries nothing: %w", err)
		}
		trips = append(trips, time.Since(began).Seconds()*1000)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Printf("line: %d Mbit/s, round trip %.1f ms (median of %d, worst %.1f), queue %d KiB\n",
		m.plan.rate/1e6, rig.Median(trips), len(trips), rig.Quantile(trips, 1), m.plan.queue>>10)
	return nil
}

// goodput is the table: a row for each road, a column for each loss and direction.
func (m *meter) goodput(ctx context.Context) (string, error) {
	var losses []float64
	for part := range strings.SplitSeq(m.plan.columns, ",") {
		loss, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return "", fmt.Errorf("--loss: %w", err)
		}
		losses = append(losses, loss)
	}
	table := rig.Table{Head: []string{"Mbit/s"}}
	for _, loss := range losses {
		table.Head = append(table.Head, fmt.Sprintf("%g %% down", loss), fmt.Sprintf("%g %% up", loss))
	}
	for _, road := range m.plan.roads() {
		row, err := m.row(ctx, road, losses)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(err, rig.ErrMissing) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", road.name, err)
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", road.name, err)
		}
		table.Rows = append(table.Rows, append([]string{road.name}, row...))
	}
	return fmt.Sprintf("One stream over %d Mbit/s and %s round trip, a queue of %d KiB, %s each, %s:\n\n%s",
		m.plan.rate/1e6, m.plan.rtt, m.plan.queue>>10, m.plan.seconds, rounds(m.plan.rounds), table), nil
}

func rounds(n int) string {
	if n == 1 {
		return "one round"
	}
	return fmt.Sprintf("medians of %d rounds", n)
}

// row measures one road in all columns.
func (m *meter) row(ctx context.Context, road road, losses []float64) ([]string, error) {
	m.rig.Line.Shape(rig.Shape{}) // starting programs is not what is measured
	lane, err := road.open(ctx, m.rig, m.handler)
	if err != nil {
		return nil, err
	}
	defer lane.close()
	figures := make([][]float64, 2*len(losses))
	for range m.plan.rounds {
		for i, loss := range losses {
			m.shape(loss, m.plan.queue)
			if err := lane.renew(ctx); err != nil {
				return nil, err
			}
			for j, drive := range []func(context.Context, dialFunc, time.Duration) (float64, error){m.down, m.up} {
				if _, err := drive(ctx, lane.dial, settle); err != nil {
					return nil, err
				}
				time.Sleep(pause)
				m.rig.Line.Seed(m.plan.seed)
				rate, err := drive(ctx, lane.dial, m.plan.seconds)
				if err != nil {
					return nil, err
				}
				time.Sleep(pause)
				fmt.Printf("%-24s %5g %% %-5s %6.1f Mbit/s\n", road.name, loss, []string{"down", "up"}[j], rate)
				figures[2*i+j] = append(figures[2*i+j], rate)
			}
		}
	}
	var cells []string
	for _, f := range figures {
		cells = append(cells, fmt.Sprintf("%.1f", rig.Median(f)))
	}
	return cells, nil
}

// try makes one small request.
func try(ctx context.Context, dial dialFunc) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET /blob?n=1 HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", rig.Site)
	_, err = io.ReadFull(c, make([]byte, 12))
	return err
}

// down downloads for a time and returns what arrived in it, in Mbit/s.
func (m *meter) down(ctx context.Context, dial dialFunc, length time.Duration) (float64, error) {
	c, err := dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /blob?n=%d HTTP/1.1\r\nHost: %s\r\n\r\n", int64(endless), rig.Site)
	began := time.Now()
	c.SetReadDeadline(began.Add(length))
	buf, got := make([]byte, 64<<10), int64(0)
	for {
		n, err := c.Read(buf)
		got += int64(n)
		if err != nil {
			return rateOf(got, began, length, err)
		}
	}
}

// up uploads for a time and returns what the sink received in it, in Mbit/s.
func (m *meter) up(ctx context.Context, dial dialFunc, length time.Duration) (float64, error) {
	c, err := dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /sink HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", rig.Site, int64(endless))
	m.sunk.Store(0)
	began := time.Now()
	c.SetWriteDeadline(began.Add(length))
	buf := make([]byte, 64<<10)
	for {
		if _, err := c.Write(buf); err != nil {
			return rateOf(m.sunk.Load(), began, length, err)
		}
	}
}

// rateOf is bytes in a time as Mbit/s. The time must be what ended the transfer.
func rateOf(bytes int64, began time.Time, length time.Duration, end error) (float64, error) {
	var timeout net.Error
	if !errors.As(end, &timeout) || !timeout.Timeout() {
		return 0, fmt.Errorf("ended after %s with %d bytes: %w", time.Since(began).Round(time.Millisecond), bytes, end)
	}
	return float64(bytes) * 8 / length.Seconds() / 1e6, nil
}
