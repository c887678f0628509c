// Command road measures the whole path over loopback, partner → relay → edge → origin, in one process, against three
// peers in the same run: the client connected to the origin (direct), a bare copy over the same hops with upstream
// quic-go (quic: TCP in, one QUIC stream, TCP out), and the HTTP proxy library alone (goproxy: one hop, no tunnel, no
// metering). It is a program of its own and no command of sward, because nobody should carry a rival's QUIC home.
//
// Each figure is the median over interleaved repetitions, each ratio the median of the ratios within a repetition. CPU
// is that of the whole process less what the direct road used for the same bytes, so what is left belongs to relay and
// edge (and to the hub, which only books).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/internal/daemon"
	"sward/internal/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	plan := defaultPlan()
	plan.flags(flag.CommandLine)
	flag.Parse()
	if err := plan.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "road:", err)
		os.Exit(1)
	}
}

// benchPlan is how much is measured.
type benchPlan struct {
	out      string
	only     string // the one metric to measure, or all
	profile  string // directory for CPU profiles, one for each metric of Sward's road
	reps     int
	bytes    int64 // of a bulk measurement, over all its streams
	requests int   // of a request-rate measurement
	clients  int   // that send them
	idle     int   // edges of the memory measurement; 0 leaves it out
}

// defaultPlan takes about a minute and a half on two cores.
func defaultPlan() benchPlan {
	return benchPlan{reps: 3, bytes: 256 << 20, requests: 3000, clients: 32, idle: 200}
}

func (p *benchPlan) flags(f *flag.FlagSet) {
	f.StringVar(&p.out, "out", "", "file for benchstat input")
	f.StringVar(&p.only, "only", "", "measure only the metrics whose names contain this")
	f.StringVar(&p.profile, "profile", "", "directory for CPU profiles of Sward's road")
	f.IntVar(&p.reps, "reps", p.reps, "repetitions")
	f.Int64Var(&p.bytes, "bytes", p.bytes, "bytes of each bulk measurement")
	f.IntVar(&p.requests, "requests", p.requests, "requests of each rate measurement")
	f.IntVar(&p.clients, "clients", p.clients, "clients that send them at once")
	f.IntVar(&p.idle, "idle", p.idle, "edges of the memory measurement; 0 leaves it out")
}

// metric is one row of the table: a name, and how to measure it on a road.
type metric struct {
	name, unit string
	bulk       bool // CPU is told per GiB
	measure    func(ctx context.Context, r road) (value float64, cpu time.Duration, err error)
}

func (p benchPlan) metrics() []metric {
	bulk := func(streams int) func(context.Context, road) (float64, time.Duration, error) {
		return func(ctx context.Context, r road) (float64, time.Duration, error) {
			took, cpu, err := p.bulk(ctx, r, streams)
			return float64(p.bytes) / (1 << 20) / took.Seconds(), cpu, err
		}
	}
	rate := func(keepAlive bool) func(context.Context, road) (float64, time.Duration, error) {
		return func(ctx context.Context, r road) (float64, time.Duration, error) {
			took, cpu, err := p.burst(ctx, r, keepAlive)
			return float64(p.requests) / took.Seconds(), cpu, err
		}
	}
	all := []metric{
		{"1 stream", "MiB/s", true, bulk(1)},
		{"32 streams", "MiB/s", true, bulk(32)},
		{"new connections", "req/s", false, rate(false)},
		{"keep-alive", "req/s", false, rate(true)},
		{"warm request, p50", "µs", false, p.warm},
	}
	return slices.DeleteFunc(all, func(m metric) bool { return !strings.Contains(m.name, p.only) })
}

// sample is what one measurement gave.
type sample struct {
	value float64
	cpu   time.Duration
}

// check finds what cannot be measured.
func (p benchPlan) check() error {
	for _, of := range []struct {
		flag string
		n    int64
	}{
		{"reps", int64(p.reps)}, {"bytes", p.bytes}, {"requests", int64(p.requests)}, {"clients", int64(p.clients)},
	} {
		if of.n < 1 {
			return fmt.Errorf("-%s %d: a measurement takes at least one", of.flag, of.n)
		}
	}
	if len(p.metrics()) == 0 {
		return fmt.Errorf("-only %s: no metric has that in its name", p.only)
	}
	return nil
}

func (p benchPlan) run(ctx context.Context, out io.Writer) error {
	if err := p.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sward-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The edge is one with history, as most are: a new one waits for receipts at a window of 512 KiB.
	fmt.Fprintf(out, "giving the edge a history of %d MiB\n", benchHistory>>20)
	err = withSandbox(ctx, dir, 1, func(ctx context.Context, box *sandbox.Sandbox) error { return earnHistory(ctx, box) })
	if err != nil {
		return fmt.Errorf("give the edge a history: %w", err)
	}
	return withSandbox(ctx, dir, 1, func(ctx context.Context, box *sandbox.Sandbox) error {
		roads, stop, err := makeRoads(ctx, box)
		if err != nil {
			return err
		}
		defer stop()
		results, err := p.measure(ctx, out, roads)
		if err != nil {
			return err
		}
		p.report(out, roads, results)
		if p.out != "" {
			if err := daemon.WriteFile(p.out, []byte(benchstat(p.metrics(), roads, results)), 0o644); err != nil {
				return err
			}
		}
		if p.idle < 1 {
			return nil
		}
		heap, err := p.idleHeap(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nheap of an idle edge, both ends of it, with %d edges: %.0f KiB\n", p.idle, heap/1024)
		return nil
	})
}

// settleWait is how long the books may take to have everything that was carried.
const settleWait = 30 * time.Second

// benchHistory in bytes is what a relay wants to have seen credited before it gives an edge the largest window.
const benchHistory = 64 << 20

// earnHistory downloads that much through the edge and waits until the books have it.
func earnHistory(ctx context.Context, box *sandbox.Sandbox) error {
	roads, stop, err := makeRoads(ctx, box)
	if err != nil {
		return err
	}
	defer stop()
	client := roads[len(roads)-1].client()
	if err := get(ctx, client, fmt.Sprintf("%s?n=%d", blobURL, benchHistory), benchHistory); err != nil {
		return err
	}
	client.CloseIdleConnections()
	_, err = box.Settled(ctx, settleWait)
	return err
}

// measure interleaves the roads, so that what else the machine does falls on all of them.
func (p benchPlan) measure(ctx context.Context, out io.Writer, roads []road) (map[string][]sample, error) {
	results := map[string][]sample{}
	for rep := range p.reps {
		for _, m := range p.metrics() {
			fmt.Fprintf(out, "repetition %d of %d: %s\n", rep+1, p.reps, m.name)
			for _, r := range roads {
				profiled, err := p.profiled(m, r, rep)
				if err != nil {
					return nil, err
				}
				value, cpu, err := m.measure(ctx, r)
				profiled()
				if err != nil {
					return nil, fmt.Errorf("%s by %s: %w", m.name, r.name, err)
				}
				results[m.name+r.name] = append(results[m.name+r.name], sample{value, cpu})
			}
		}
	}
	return results, nil
}

// profiled writes a CPU profile of Sward's road, if that is wanted, until the func it returns is called.
func (p benchPlan) profiled(m metric, r road, rep int) (stop func(), err error) {
	if p.profile == "" || r.name != "sward" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(p.profile, fmt.Sprintf("%s-%d.prof", strings.ReplaceAll(m.name, " ", "-"), rep)))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// bulk downloads p.bytes over some streams at once.
func (p benchPlan) bulk(ctx context.Context, r road, streams int) (took, cpu time.Duration, err error) {
	each := p.bytes / int64(streams)
	client := r.client()
	defer client.CloseIdleConnections()
	began, cpuBegan := time.Now(), processCPU()
	g, ctx := errgroup.WithContext(ctx)
	for range streams {
		g.Go(func() error { return get(ctx, client, fmt.Sprintf("%s?n=%d", blobURL, each), each) })
	}
	err = g.Wait()
	return time.Since(began), processCPU() - cpuBegan, err
}

// burst sends p.requests small requests from p.clients clients.
func (p benchPlan) burst(ctx context.Context, r road, keepAlive bool) (took, cpu time.Duration, err error) {
	began, cpuBegan := time.Now(), processCPU()
	g, ctx := errgroup.WithContext(ctx)
	for range p.clients {
		g.Go(func() error {
			client := r.client()
			defer client.CloseIdleConnections()
			for range p.requests / p.clients {
				if err := get(ctx, client, blobURL+"?n=100", 100); err != nil {
					return err
				}
				if !keepAlive {
					client.CloseIdleConnections()
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return time.Since(began), processCPU() - cpuBegan, err
}

// warm is the median time of a small request, one after the other on one connection, in microseconds.
func (p benchPlan) warm(ctx context.Context, r road) (float64, time.Duration, error) {
	client := r.client()
	defer client.CloseIdleConnections()
	var times []float64
	cpuBegan := processCPU()
	for range p.requests/10 + 1 {
		began := time.Now()
		if err := get(ctx, client, blobURL+"?n=100", 100); err != nil {
			return 0, 0, err
		}
		times = append(times, float64(time.Since(began).Nanoseconds())/1e3)
	}
	slices.Sort(times)
	return times[len(times)/2], processCPU() - cpuBegan, nil
}

func get(ctx context.Context, client *http.Client, address string, want int64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && (n != want || answer.StatusCode != http.StatusOK) {
		err = fmt.Errorf("status %d with %d bytes, want 200 with %d", answer.StatusCode, n, want)
	}
	return err
}

// idleHeap is the heap of one idle edge, its own and the relay's end together, in bytes.
func (p benchPlan) idleHeap(ctx context.Context) (float64, error) {
	dir, err := os.MkdirTemp("", "sward-bench-idle-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	heaps := map[int]float64{}
	for _, edges := range []int{1, p.idle + 1} {
		err := withSandbox(ctx, fmt.Sprintf("%s/%d", dir, edges), edges, func(context.Context, *sandbox.Sandbox) error {
			runtime.GC()
			runtime.GC() // the second finishes what finalizers of the first let go
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heaps[edges] = float64(m.HeapInuse)
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("%d idle edges: %w", edges, err)
		}
	}
	return (heaps[p.idle+1] - heaps[1]) / float64(p.idle), nil
}

// withSandbox runs do beside a sandbox whose site serves bodies of any size.
func withSandbox(ctx context.Context, dir string, edges int, do func(context.Context, *sandbox.Sandbox) error) error {
	return sandbox.While(ctx, sandbox.Config{
		Dir: dir, Edges: edges, Handler: http.HandlerFunc(serveBlob),
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, do)
}

func (p benchPlan) report(out io.Writer, roads []road, results map[string][]sample) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\n%s\t", "whole path over loopback")
	for _, r := range roads {
		fmt.Fprintf(w, "%s\t", r.name)
	}
	fmt.Fprint(w, "sward/quic\tsward/goproxy\tsward/direct\t\n")
	for _, m := range p.metrics() {
		fmt.Fprintf(w, "%s, %s\t", m.name, m.unit)
		for _, r := range roads {
			fmt.Fprintf(w, "%.0f\t", median(results[m.name+r.name]))
		}
		for _, peer := range []string{"quic", "goproxy", "direct"} {
			fmt.Fprintf(w, "%.2f\t", ratio(results[m.name+"sward"], results[m.name+peer]))
		}
		fmt.Fprint(w, "\n")
	}
	for _, m := range p.metrics() {
		if !m.bulk {
			continue
		}
		fmt.Fprintf(w, "CPU beyond direct, %s, s/GiB\t", m.name)
		perGiB := map[string]float64{}
		for _, r := range roads {
			perGiB[r.name] = max(0, cpuOf(results[m.name+r.name])-cpuOf(results[m.name+"direct"])) / (float64(p.bytes) / (1 << 30))
			fmt.Fprintf(w, "%.2f\t", perGiB[r.name])
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t\t\n", perGiB["sward"]/max(perGiB["quic"], 0.01), perGiB["sward"]/max(perGiB["goproxy"], 0.01))
	}
	w.Flush()
}

// ratio is the median of the paired ratios: each repetition compares what ran side by side.
func ratio(a, b []sample) float64 {
	var all []float64
	for i := range a {
		all = append(all, a[i].value/b[i].value)
	}
	sort.Float64s(all)
	return all[len(all)/2]
}

func median(samples []sample) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, s.value)
	}
	sort.Float64s(all)
	return all[len(all)/2]
}

func cpuOf(samples []sample) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, s.cpu.Seconds())
	}
	sort.Float64s(all)
	return all[len(all)/2]
}

// benchstat writes every sample in the format that benchstat reads.
func benchstat(metrics []metric, roads []road, results map[string][]sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: sward\n", runtime.GOOS, runtime.GOARCH)
	for _, m := range metrics {
		name := strings.ReplaceAll(m.name, " ", "_")
		for _, r := range roads {
			for _, s := range results[m.name+r.name] {
				fmt.Fprintf(&b, "BenchmarkPath/%s/%s 1 %.2f %s %.4f cpu-s\n", name, r.name, s.value, m.unit, s.cpu.Seconds())
			}
		}
	}
	return b.String()
}
