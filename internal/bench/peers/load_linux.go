package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/sync/errgroup"

	"sward/internal/bench/rig"
)

// via says how a client reaches the site.
type via struct {
	Kind string `json:"kind"` // direct, http or socks
	Addr string `json:"addr"`
	Name string `json:"name"`
	Key  string `json:"key"`
}

// job is one measurement, as it is handed to the child that makes it: a process of its own in the street, so that its
// CPU time is nobody else's.
type job struct {
	Via     via           `json:"via"`
	Path    string        `json:"path"`
	Size    int64         `json:"size"`    // of one answer, in bytes
	Clients int           `json:"clients"` // at once
	Fresh   bool          `json:"fresh"`   // a new connection for every request
	Time    time.Duration `json:"time"`    // for how long; 0: one request for each client
}

// outcome is what the child found.
type outcome struct {
	Requests int64         `json:"requests"`
	Took     time.Duration `json:"took"`
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
}

// maxTimes is how many request times are kept for quantiles.
const maxTimes = 1 << 17

// load is the child: it reads a job from its arguments and prints the outcome.
func load(args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	text := flags.String("job", "", "the job, as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal([]byte(*text), &j); err != nil {
		return err
	}
	o, err := j.run(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func (j job) run(ctx context.Context) (outcome, error) {
	var requests atomic.Int64
	times := make([][]float64, j.Clients)
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i := range j.Clients {
		group.Go(func() error {
			c := &client{job: j}
			defer c.drop()
			for {
				start := time.Now()
				if err := c.get(ctx); err != nil {
					return err
				}
				requests.Add(1)
				if len(times[i]) < maxTimes/j.Clients {
					times[i] = append(times[i], time.Since(start).Seconds())
				}
				if j.Fresh {
					c.drop()
				}
				if j.Time == 0 || time.Since(began) >= j.Time {
					return nil
				}
			}
		})
	}
	err := group.Wait()
	o := outcome{Requests: requests.Load(), Took: time.Since(began)}
	var all []float64
	for _, t := range times {
		all = append(all, t...)
	}
	seconds := func(q float64) time.Duration { return time.Duration(rig.Quantile(all, q) * float64(time.Second)) }
	o.P50, o.P99 = seconds(0.5), seconds(0.99)
	return o, err
}

// client is one connection through a proxy, and the requests on it. It speaks HTTP by hand: a client library would take
// more of the processor than most of what is measured.
type client struct {
	job job
	c   net.Conn
	r   *bufio.Reader
}

func (c *client) drop() {
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

const requestTime = time.Minute

func (c *client) get(ctx context.Context) (err error) {
	if c.c == nil {
		if c.c, err = c.job.Via.dial(ctx); err != nil {
			return err
		}
		c.r = bufio.NewReaderSize(c.c, 64<<10)
	}
	c.c.SetDeadline(time.Now().Add(requestTime))
	if _, err := fmt.Fprintf(c.c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.job.Path, rig.Site); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && (n != c.job.Size || answer.StatusCode != http.StatusOK) {
		err = fmt.Errorf("status %d with %d bytes, want 200 with %d", answer.StatusCode, n, c.job.Size)
	}
	return err
}

func (v via) dial(ctx context.Context) (net.Conn, error) {
	target := net.JoinHostPort(rig.Site, "80")
	switch v.Kind {
	case "direct":
		return (&net.Dialer{}).DialContext(ctx, "tcp", target)
	case "http":
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", v.Addr)
		if err != nil {
			return nil, err
		}
		return rig.Connect(c, target, v.Name, v.Key)
	case "socks":
		d, err := proxy.SOCKS5("tcp", v.Addr, nil, proxy.Direct)
		if err != nil {
			return nil, err
		}
		return d.(proxy.ContextDialer).DialContext(ctx, "tcp", target)
	}
	return nil, errors.New("no such kind of proxy: " + v.Kind)
}
