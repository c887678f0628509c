package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gocolly/colly/v2"
)

// parallel is how many requests each peer may have in flight: twice what it takes on this machine to keep it busy.
const parallel = 16

// collyRoad is colly alone, as its own examples follow links: visit each, once, in as many goroutines.
func collyRoad(ctx context.Context, p plan, site string) (crawl, error) {
	c := colly.NewCollector(colly.Async(true), colly.MaxDepth(0), colly.AllowedDomains(strings.Split(site, ":")[0]), colly.StdlibContext(ctx))
	if err := c.Limit(&colly.LimitRule{DomainGlob: "*", Parallelism: parallel}); err != nil {
		return crawl{}, err
	}
	c.URLFilters = nil
	var pages atomic.Int64
	c.OnResponse(func(*colly.Response) { pages.Add(1) })
	c.OnHTML("a[href]", func(e *colly.HTMLElement) {
		to, err := url.Parse(e.Request.AbsoluteURL(e.Attr("href")))
		if err != nil || to.Host != site || path.Ext(to.Path) != ".html" {
			return
		}
		e.Request.Visit(to.Scheme + "://" + to.Host + to.Path) //nolint:errcheck // most have been visited
	})
	return timed(func() (int, error) {
		if err := c.Visit("http://" + site + "/" + p.start); err != nil {
			return 0, err
		}
		c.Wait()
		return int(pages.Load()), ctx.Err()
	})
}

//go:embed spider.py
var spider []byte

func scrapyRoad(ctx context.Context, p plan, site string) (crawl, error) {
	dir, err := os.MkdirTemp("", "sward-scrapy-")
	if err != nil {
		return crawl{}, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "spider.py")
	if err := os.WriteFile(program, spider, 0o600); err != nil {
		return crawl{}, err
	}
	seen := filepath.Join(dir, "pages")
	got, err := child(ctx, dir, "scrapy", "runspider", "--nolog", "-a", "start=http://"+site+"/"+p.start, "-a", "out="+seen, program)
	if err != nil {
		return got, err
	}
	list, err := os.ReadFile(seen)
	got.pages = strings.Count(string(list), "\n")
	return got, err
}

func wgetRoad(ctx context.Context, p plan, site string) (crawl, error) {
	dir, err := os.MkdirTemp("", "sward-wget-")
	if err != nil {
		return crawl{}, err
	}
	defer os.RemoveAll(dir)
	got, err := child(ctx, dir, "wget", "-r", "-l", "inf", "-q", "-e", "robots=off", "-A", "html", "http://"+site+"/"+p.start)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 8 { // some link leads to a 404
		err = nil
	}
	if err != nil {
		return got, err
	}
	return got, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(name, ".html") {
			got.pages++
		}
		return err
	})
}

// child runs a program of others and counts its processor time with that of its children.
func child(ctx context.Context, dir, name string, args ...string) (crawl, error) {
	if _, err := exec.LookPath(name); err != nil {
		return crawl{}, fmt.Errorf("%s: %w", name, errMissing)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	began := time.Now()
	err := cmd.Run()
	got := crawl{took: time.Since(began)}
	if cmd.ProcessState != nil {
		got.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil && said.Len() > 0 {
		err = fmt.Errorf("%w: %.500s", err, said.String())
	}
	return got, err
}

// timed measures something in this process.
func timed(do func() (pages int, err error)) (crawl, error) {
	began, before := time.Now(), processorTime()
	pages, err := do()
	return crawl{pages: pages, took: time.Since(began), cpu: processorTime() - before}, err
}
