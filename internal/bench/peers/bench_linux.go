package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/elazarl/goproxy"

	"sward/internal/bench/rig"
)

const (
	bulkStreams = 32
	breath      = 200 * time.Millisecond // between two measurements
)

// bench is the rig with everything on it.
type bench struct {
	plan   plan
	rig    *rig.Rig
	self   string // this program
	runs   []*running
	origin string
}

// running is a contender that came up, and what was found of it.
type running struct {
	contender
	service *service
	rates   map[string][]float64   // metric → a figure for each round
	cpu     map[string][][]float64 // metric → round → seconds per GiB of each program
	rss     [][]float64            // round → MiB of each program
}

// startSite runs nginx at the site, or the origin that Go makes when there is none.
func (b *bench) startSite() error {
	files := filepath.Join(b.rig.Dir, "site")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return err
	}
	for name, size := range map[string]int64{"big": b.plan.size, "part": b.plan.size / bulkStreams, "small": rig.SmallSize, "blob": rig.History} {
		file, err := os.Create(filepath.Join(files, name))
		if err != nil {
			return err
		}
		if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
			return err
		}
	}
	binary, err := exec.LookPath("nginx")
	if err != nil {
		b.origin = "Go's net/http"
		return b.rig.ServeSite(http.FileServer(http.Dir(files)))
	}
	b.origin = "nginx"
	config, err := b.settings("nginx.conf", strings.Join([]string{
		"daemon off;", "master_process off;", "user root;", "error_log stderr warn;", "pid " + b.rig.Dir + "/nginx.pid;", "events { worker_connections 8192; }",
		"http { access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000; default_type application/octet-stream;",
		"server { listen " + rig.Site + ":80 backlog=4096; root " + files + "; } }", "",
	}, "\n"))
	if err != nil {
		return err
	}
	_, err = b.rig.Site.Start(b.rig.Dir, "nginx", binary, "-c", config, "-p", b.rig.Dir, "-e", "stderr")
	return err
}

// open starts all contenders; one that cannot be is left out with a word.
func (b *bench) open(ctx context.Context) error {
	for _, c := range contenders() {
		if !b.asked(c.name) {
			continue
		}
		s, err := c.open(ctx, b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, rig.ErrMissing) || err != nil && c.name != "Sward" {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.runs = append(b.runs, &running{contender: c, service: s, rates: map[string][]float64{}, cpu: map[string][][]float64{}})
	}
	return nil
}

func (b *bench) asked(name string) bool {
	for part := range strings.SplitSeq(b.plan.rows, ",") {
		if strings.Contains(strings.ToLower(name), strings.ToLower(part)) {
			return true
		}
	}
	return false
}

func (b *bench) close() {
	for _, r := range b.runs {
		r.service.stop()
	}
}

// metrics are the columns that are measured, in their order.
func (b *bench) metrics() []metric {
	bulk := func(path string, size int64, streams int) job { return job{Path: path, Size: size, Clients: streams} }
	rate := func(fresh bool, clients int) job {
		return job{Path: "/small", Size: rig.SmallSize, Clients: clients, Fresh: fresh, Time: b.plan.time}
	}
	return []metric{
		{oneStream, bulk("/big", b.plan.size, 1)},
		{manyStreams, bulk("/part", b.plan.size/bulkStreams, bulkStreams)},
		{freshRate, rate(true, b.plan.clients)},
		{keptRate, rate(false, b.plan.clients)},
		{latency, rate(false, 1)},
	}
}

type metric struct {
	name string
	job  job
}

// rounds measures: every metric of a round goes through all contenders before the next one.
func (b *bench) rounds(ctx context.Context) error {
	for round := range b.plan.rounds {
		for _, m := range b.metrics() {
			fmt.Printf("round %d of %d, %s:", round+1, b.plan.rounds, m.name)
			for i := range b.runs {
				r := b.runs[(i+round)%len(b.runs)] // another one is first each time
				o, cpu, err := b.measure(ctx, r.service, m.job)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					fmt.Fprintf(os.Stderr, "\n%s, %s: %v\n", r.name, m.name, err)
				}
				r.note(m, o, cpu, err)
				fmt.Printf(" %s %.0f", r.name, r.rates[m.name][round])
				time.Sleep(breath)
			}
			fmt.Println()
		}
		for _, r := range b.runs {
			var resident []float64
			for _, p := range r.service.programs {
				_, rss := p.Usage()
				resident = append(resident, float64(rss)/(1<<20))
			}
			r.rss = append(r.rss, resident)
		}
	}
	return nil
}

// note keeps what a measurement gave. A failed one is a zero: a round without a figure would shift all later pairs.
func (r *running) note(m metric, o outcome, cpu []float64, err error) {
	if err != nil || o.Took == 0 {
		o = outcome{Took: time.Second}
	}
	switch m.name {
	case oneStream, manyStreams:
		mib := float64(o.Requests*m.job.Size) / (1 << 20)
		r.rates[m.name] = append(r.rates[m.name], mib/o.Took.Seconds())
		if mib > 0 {
			for i := range cpu {
				cpu[i] *= 1024 / mib
			}
			r.cpu[m.name] = append(r.cpu[m.name], cpu)
		}
	case latency:
		r.rates[latency] = append(r.rates[latency], o.P50.Seconds()*1e6)
		r.rates[latencyTail] = append(r.rates[latencyTail], o.P99.Seconds()*1e6)
	default:
		r.rates[m.name] = append(r.rates[m.name], float64(o.Requests)/o.Took.Seconds())
	}
}

// loadTime is more than any measurement takes.
const loadTime = 2 * time.Minute

// measure runs one job in a process of its own, and returns what it found and the processor seconds of each program.
func (b *bench) measure(ctx context.Context, s *service, j job) (o outcome, cpu []float64, err error) {
	j.Via = s.via
	text, err := json.Marshal(j)
	if err != nil {
		return o, nil, err
	}
	before := make([]time.Duration, len(s.programs))
	for i, p := range s.programs {
		before[i], _ = p.Usage()
	}
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	out, err := b.rig.Street.Output(ctx, b.rig.Dir, nil, b.self, "load", "-job", string(text))
	if err != nil {
		return o, nil, err
	}
	for i, p := range s.programs {
		after, _ := p.Usage()
		cpu = append(cpu, (after - before[i]).Seconds())
	}
	return o, cpu, json.Unmarshal([]byte(out), &o)
}

// plainProxy is goproxy and nothing else.
func plainProxy(at string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", at)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: goproxy.NewProxyHttpServer(), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(l)
}
