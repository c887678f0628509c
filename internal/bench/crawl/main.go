// Command crawl measures how fast a site is crawled: by the whole network (a hub, a relay, three edges) in one process,
// keeping exchanges alone, with extraction, and with extraction and index; and beside it, in the same run on the same
// site, by plain colly following links, by Scrapy and by wget -r. The site is a folder of HTML, a Debian documentation
// package as a rule, served on loopback by another process of this program.
//
// Politeness is off for this one measurement, on a site of our own, and nowhere else: no pause between requests, and as
// many leases of the one host at once as there are edges.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	plan := plan{reps: 3, timeout: 5 * time.Minute}
	var serve string
	flag.StringVar(&plan.site, "site", "/usr/share/doc/python3.11/html", "folder of HTML to crawl")
	flag.StringVar(&plan.start, "start", "index.html", "page of it to start from")
	flag.IntVar(&plan.reps, "reps", plan.reps, "repetitions, interleaved; the median counts")
	flag.StringVar(&plan.only, "only", "", "measure this road alone: "+names())
	flag.StringVar(&plan.profile, "profile", "", "file for a CPU profile of Sward's last crawl")
	flag.DurationVar(&plan.timeout, "timeout", plan.timeout, "for one crawl")
	flag.StringVar(&serve, "serve", "", "serve a folder on a free port of 127.0.0.1 and print it: what this program starts for itself")
	flag.Parse()
	run := func() error { return plan.run(ctx, os.Stdout) }
	if serve != "" {
		run = func() error { return serveFolder(ctx, serve, os.Stdout) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "crawl:", err)
		os.Exit(1)
	}
}

// plan is what is measured.
type plan struct {
	site, start   string
	only, profile string
	reps          int
	timeout       time.Duration
}

// run is one crawl and what it took. CPU is the crawler's: of this process or of the child, never the site's.
type crawl struct {
	pages int // HTML pages that came with status 200
	took  time.Duration
	cpu   time.Duration
}

func (c crawl) rate() float64 { return float64(c.pages) / c.took.Seconds() }

// busy is the share of all processors that the crawler kept at work.
func (c crawl) busy() float64 { return c.cpu.Seconds() / c.took.Seconds() / float64(runtime.NumCPU()) }

// A road is one way to crawl the site at url.
type road struct {
	name string
	run  func(ctx context.Context, p plan, url string) (crawl, error)
}

// errMissing is of a peer that is not on this machine: it is left out, with a word.
var errMissing = errors.New("not installed")

var roads = []road{
	{"sward, fetch and WARC", swardRoad(keepExchanges)},
	{"sward, with extraction", swardRoad(extract)},
	{"sward, with extraction and index", swardRoad(extractAndIndex)},
	{"colly, following links", collyRoad},
	{"scrapy", scrapyRoad},
	{"wget -r", wgetRoad},
}

func names() (list string) {
	for i, r := range roads {
		if i > 0 {
			list += "; "
		}
		list += r.name
	}
	return list
}

func (p plan) run(ctx context.Context, out io.Writer) error {
	if p.reps < 1 {
		return fmt.Errorf("%d repetitions", p.reps)
	}
	want, err := walk(p.site, p.start)
	if err != nil {
		return err
	}
	url, stop, err := startSite(ctx, p.site)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "%s: %d pages are linked from %s; %d processors\n\n", p.site, len(want), p.start, runtime.NumCPU())
	results := map[string][]crawl{}
	for rep := range p.reps {
		for _, r := range roads {
			if p.only != "" && p.only != r.name {
				continue
			}
			one, cancel := context.WithTimeout(ctx, p.timeout)
			got, err := r.run(one, p, url)
			cancel()
			if errors.Is(err, errMissing) {
				if rep == 0 {
					fmt.Fprintf(out, "%s is left out: %v\n", r.name, err)
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			results[r.name] = append(results[r.name], got)
		}
	}
	return print(out, results)
}

func print(out io.Writer, results map[string][]crawl) error {
	median := map[string]crawl{}
	for name, list := range results {
		slices.SortFunc(list, func(a, b crawl) int { return cmp.Compare(a.rate(), b.rate()) })
		median[name] = list[len(list)/2]
	}
	ratio := func(c crawl, peer string) string {
		if p := median[peer]; p.pages > 0 {
			return fmt.Sprintf("%.2f", c.rate()/p.rate())
		}
		return "–"
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tpages\ts\tpages/s\tCPU s\tprocessors busy\t/ colly\t/ scrapy\t")
	for _, r := range roads {
		c, known := median[r.name]
		if !known {
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.0f\t%.2f\t%.0f %%\t%s\t%s\t\n", r.name, c.pages, c.took.Seconds(), c.rate(), c.cpu.Seconds(),
			100*c.busy(), ratio(c, "colly, following links"), ratio(c, "scrapy"))
	}
	return w.Flush()
}
