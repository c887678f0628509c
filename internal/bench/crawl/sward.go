package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"sward/crawler"
	"sward/internal/hub"
	"sward/internal/sandbox"
)

// stage is how much of the work Sward does on a page.
type stage int

const (
	keepExchanges   stage = iota // WARC, and links
	extract                      // and Markdown
	extractAndIndex              // and the index
)

// edges is how many homes crawl.
const edges = 3

// nothing is the sandbox's own site, which nobody visits.
var nothing = http.NotFoundHandler()

// The site's place in the sandbox's world.
const siteName = "docs.sward.example"

var siteAddress = netip.MustParseAddr("45.33.32.80")

// swardRoad crawls with the whole network, its hub's store durable as ever.
func swardRoad(s stage) func(context.Context, plan, string) (crawl, error) {
	return func(ctx context.Context, p plan, site string) (got crawl, err error) {
		dir, err := os.MkdirTemp("", "sward-crawl-")
		if err != nil {
			return crawl{}, err
		}
		defer os.RemoveAll(dir)
		cfg := sandbox.Config{
			Dir: dir, Handler: nothing, Edges: edges,
			World: func(w *sandbox.World) {
				w.Name(siteName, siteAddress)
				w.Host(netip.AddrPortFrom(siteAddress, 80), site)
			},
			Hub: func(c *hub.Config) {
				c.Crawl = func(c *crawler.Config) {
					c.Delay, c.LeasesPerHost, c.AuditRate, c.Fresh = time.Nanosecond, edges, -1, -1
					if s != extractAndIndex {
						c.Store = nil
					}
				}
			},
		}
		err = sandbox.While(ctx, cfg, func(ctx context.Context, box *sandbox.Sandbox) error {
			if p.profile != "" {
				file, err := os.Create(p.profile)
				if err != nil {
					return err
				}
				defer file.Close()
				if err := pprof.StartCPUProfile(file); err != nil {
					return err
				}
			}
			var job crawler.Job
			got, err = timed(func() (_ int, err error) {
				job, err = crawlOnce(ctx, box, p, s)
				return job.Completed, err
			})
			if err != nil {
				return err
			}
			pprof.StopCPUProfile()
			return sameSet(ctx, box.Hub().Crawler, job, p)
		})
		return got, err
	}
}

func crawlOnce(ctx context.Context, box *sandbox.Sandbox, p plan, s stage) (crawler.Job, error) {
	c := box.Hub().Crawler
	limit := 100_000
	order := crawler.Order{URL: "http://" + siteName + "/" + p.start, Sitemap: "skip", Limit: &limit, IncludePaths: []string{`\.html$`}}
	if s == keepExchanges {
		order.Scrape.Formats = []crawler.Format{crawler.FormatWARC}
	}
	account := crawler.Account{ID: box.Info().Partner, Name: box.Info().Partner, Purpose: "market-research"}
	job, err := c.Start(ctx, account, crawler.Crawl, order)
	if err != nil {
		return job, err
	}
	job, err = c.Wait(ctx, job)
	if err != nil {
		return job, err
	}
	if job.State != crawler.Completed {
		return job, fmt.Errorf("the job ended as %s: %s", job.State, job.Explain())
	}
	if job.Failed > 0 {
		failed, err := c.Errors(ctx, job)
		if err != nil {
			return job, err
		}
		for _, e := range failed { // a link into nothing is the site's own
			if e.Code != "http_404" {
				return job, errors.New(e.URL + ": " + e.Error)
			}
		}
	}
	return job, nil
}

// sameSet compares what was delivered with the independent list: a fast crawl that misses pages is no result.
func sameSet(ctx context.Context, c *crawler.Crawler, job crawler.Job, p plan) error {
	missing, err := walk(p.site, p.start)
	if err != nil {
		return err
	}
	for skip := 0; skip < job.Completed; {
		documents, err := c.Documents(ctx, job, skip, 100)
		if err != nil {
			return err
		}
		for _, d := range documents {
			var page struct {
				Metadata struct{ URL string }
			}
			if err := json.Unmarshal(d, &page); err != nil {
				return err
			}
			at := strings.TrimPrefix(page.Metadata.URL, "http://"+siteName)
			if !missing[at] {
				return fmt.Errorf("%s was delivered twice, or is none of the site's pages", at)
			}
			delete(missing, at)
		}
		skip += len(documents)
	}
	if len(missing) > 0 {
		list := slices.Sorted(maps.Keys(missing))
		return fmt.Errorf("%d pages are missing: %s", len(list), strings.Join(list[:min(len(list), 10)], " "))
	}
	return nil
}
