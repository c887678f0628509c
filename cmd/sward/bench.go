package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"sward/internal/daemon"
	"sward/internal/sandbox"
)

// benchPlan is how much is measured. The defaults take about a minute and a half on two cores.
type benchPlan struct {
	out      string
	reps     int
	bytes    int64 // of a bulk measurement, over all its streams
	requests int   // of a request-rate measurement
	clients  int   // that send them
	idle     int   // edges of the memory measurement
}

func benchCommand() *cobra.Command {
	plan := benchPlan{reps: 3, bytes: 256 << 20, requests: 3000, clients: 32, idle: 200}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the whole path over loopback, as ratios to its peers in the same run",
		Long: `Measure partner → relay → edge → origin over loopback, in this process, against three peers in the same run:

  direct    the client connected to the origin
  quic      a bare quic-go copy over the same hops: TCP in, one QUIC stream, TCP out
  goproxy   the HTTP proxy library alone: one hop, no tunnel, no metering

Each figure is the median over interleaved repetitions. CPU is that of the whole process less what the direct road used
for the same bytes, so what is left belongs to relay and edge (and to the hub, which only books).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return plan.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&plan.out, "out", "", "file for benchstat input")
	f.IntVar(&plan.reps, "reps", plan.reps, "repetitions")
	f.Int64Var(&plan.bytes, "bytes", plan.bytes, "bytes of each bulk measurement")
	f.IntVar(&plan.requests, "requests", plan.requests, "requests of each rate measurement")
	f.IntVar(&plan.clients, "clients", plan.clients, "clients that send them at once")
	f.IntVar(&plan.idle, "idle", plan.idle, "edges of the memory measurement")
	return cmd
}

// metric is one row of the table: a name, and how to measure it on a road.
type metric struct {
	name, unit string
	better     string // "more" or "less"
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
	return []metric{
		{"1 stream", "MiB/s", "more", bulk(1)},
		{"32 streams", "MiB/s", "more", bulk(32)},
		{"new connections", "req/s", "more", rate(false)},
		{"keep-alive", "req/s", "more", rate(true)},
	}
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
		{"reps", int64(p.reps)}, {"bytes", p.bytes}, {"requests", int64(p.requests)}, {"clients", int64(p.clients)}, {"idle", int64(p.idle)},
	} {
		if of.n < 1 {
			return fmt.Errorf("--%s %d: a measurement takes at least one", of.flag, of.n)
		}
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
	fmt.Fprintf(out, "giving the edge a history of %s\n", size(benchHistory))
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
		heap, err := p.idleHeap(ctx)
		if err != nil {
			return err
		}
		p.report(out, roads, results, heap)
		if p.out == "" {
			return nil
		}
		return daemon.WriteFile(p.out, []byte(benchstat(p.metrics(), roads, results)), 0o644)
	})
}

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
				value, cpu, err := m.measure(ctx, r)
				if err != nil {
					return nil, fmt.Errorf("%s by %s: %w", m.name, r.name, err)
				}
				results[m.name+r.name] = append(results[m.name+r.name], sample{value, cpu})
			}
		}
	}
	return results, nil
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

func (p benchPlan) report(out io.Writer, roads []road, results map[string][]sample, heap float64) {
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
	for _, m := range p.metrics()[:2] {
		fmt.Fprintf(w, "CPU beyond direct, %s, s/GiB\t", m.name)
		perGiB := map[string]float64{}
		for _, r := range roads {
			perGiB[r.name] = max(0, cpuOf(results[m.name+r.name])-cpuOf(results[m.name+"direct"])) / (float64(p.bytes) / (1 << 30))
			fmt.Fprintf(w, "%.2f\t", perGiB[r.name])
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t\t\n", perGiB["sward"]/max(perGiB["quic"], 0.01), perGiB["sward"]/max(perGiB["goproxy"], 0.01))
	}
	w.Flush()
	fmt.Fprintf(out, "\nheap of an idle edge, both ends of it, with %d edges: %.0f KiB\n", p.idle, heap/1024)
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
