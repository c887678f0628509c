package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sward/crawler/client"
	"sward/internal/sandbox"
)

// What names a hub and a partner's key without a flag.
const (
	envAPI = "SWARD_API"
	envKey = "SWARD_KEY"
)

// crawlFlags are the words of the command; those of the API are in order.
type crawlFlags struct {
	out, format, api, key, job   string
	limit, depth, seconds        int
	bytes                        int64
	include, exclude, formats    []string
	sitemap, execution           string
	domain, subdomains, external bool
	whole                        bool
}

func crawlCommand() *cobra.Command {
	var f crawlFlags
	cmd := &cobra.Command{
		Use:   "crawl [URL] -o FILE",
		Short: "Crawl a site through a hub, into one file",
		Long: `Have a hub crawl a site, and bring the result home as one file: WARC (.warc.gz), JSON lines (.jsonl) or a Parquet table
(.parquet), by the ending of FILE. Pages that could not be delivered are listed by their cause; they are not charged.

The hub is named by --api or SWARD_API and the partner's key by SWARD_KEY or --key; without them it is the sandbox whose
sandbox.json is in this folder, or in ./sandbox.

When the command is stopped, or the connection breaks for long, the crawl goes on at the hub. The same command goes on where
this one was: FILE.part and FILE.part.json are what it needs. A result can be fetched for a day; --job fetches that of a crawl
that was started elsewhere.`,
		Example: `  sward crawl https://site.example/ -o site.warc.gz
  sward crawl https://site.example/docs/ -o docs.jsonl --limit 500 --include '^/docs/'
  sward crawl https://site.example/ -o site.parquet --formats markdown,links --max-time 600`,
		Args: cobra.MaximumNArgs(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			wish, err := f.wish(args)
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			return runCrawl(cmd, c, wish)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.out, "out", "o", "", "the file to write, which must not be there yet")
	fs.StringVar(&f.format, "format", "", "warc, jsonl or parquet (default: by the ending of the file)")
	fs.StringVar(&f.api, "api", "", "URL of the hub's crawl API (default: $SWARD_API, or the sandbox here)")
	fs.StringVar(&f.key, "key", "", "the partner's key (default: $SWARD_KEY, or the sandbox's); others on this machine can see a flag")
	fs.StringVar(&f.job, "job", "", "id of a crawl that was started elsewhere, in place of URL")
	fs.IntVar(&f.limit, "limit", 0, "pages at most (default: the hub's, 10000)")
	fs.IntVar(&f.depth, "depth", -1, "links to follow from the start page at most (default: any number)")
	fs.Lookup("depth").DefValue = "0" // which help does not print: 0 would be the start page alone
	fs.IntVar(&f.seconds, "max-time", 0, "seconds that the crawl may take (default: the hub's, three days)")
	fs.Int64Var(&f.bytes, "max-bytes", 0, "bytes of pages at most (default: any number)")
	fs.StringArrayVar(&f.include, "include", nil, "only paths that match this regular expression; may be given again")
	fs.StringArrayVar(&f.exclude, "exclude", nil, "no path that matches this regular expression; may be given again")
	fs.StringSliceVar(&f.formats, "formats", nil, "what a document holds: markdown, html, rawHtml, links, images (default: markdown)")
	fs.StringVar(&f.sitemap, "sitemap", "", "include, skip or only (default: include)")
	fs.StringVar(&f.execution, "execution", "", "edge or tunnel: where TLS to the site ends (default: edge)")
	fs.BoolVar(&f.domain, "entire-domain", false, "also paths that are not below the start page's")
	fs.BoolVar(&f.subdomains, "subdomains", false, "also subdomains")
	fs.BoolVar(&f.external, "external", false, "also other sites")
	fs.BoolVar(&f.whole, "whole-page", false, "the whole page as text, and not its main content alone")
	return cmd
}

// endings are the formats by the names of files.
var endings = map[string]string{".warc.gz": "warc", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

func (f crawlFlags) wish(args []string) (client.Wish, error) {
	w := client.Wish{File: f.out, Format: f.format, Job: f.job}
	if f.out == "" {
		return w, errors.New("-o names the file to write: site.warc.gz, site.jsonl or site.parquet")
	}
	if w.Format == "" {
		for ending, format := range endings {
			if strings.HasSuffix(strings.ToLower(f.out), ending) {
				w.Format = format
			}
		}
	}
	if !slices.Contains([]string{"warc", "jsonl", "parquet"}, w.Format) {
		return w, fmt.Errorf("-o %s: name it .warc.gz, .jsonl or .parquet, or say --format warc, jsonl or parquet", f.out)
	}
	if (len(args) == 0) == (f.job == "") {
		return w, errors.New("give the URL of a site, or --job with the id of a crawl that was started elsewhere")
	}
	if f.job == "" {
		w.Order = f.order(args[0], w.Format)
	}
	return w, nil
}

// order is what was asked for, in the API's words; what was not is left to the hub.
func (f crawlFlags) order(address, format string) map[string]any {
	order, scrape := map[string]any{"url": address}, map[string]any{}
	formats := f.formats
	if format == "warc" { // the file is made of exchanges; a rendering is put beside them if it is asked for
		formats = append(slices.Clone(formats), "warc")
	}
	for name, value := range map[string]any{
		"limit": f.limit, "maxTime": f.seconds, "maxBytes": f.bytes, "includePaths": f.include, "excludePaths": f.exclude,
		"sitemap": f.sitemap, "execution": f.execution, "crawlEntireDomain": f.domain, "allowSubdomains": f.subdomains,
		"allowExternalLinks": f.external,
	} {
		switch v := value.(type) {
		case []string:
			if len(v) == 0 {
				continue
			}
		case string, bool, int, int64:
			if v == "" || v == false || v == 0 || v == int64(0) {
				continue
			}
		}
		order[name] = value
	}
	if f.depth >= 0 {
		order["maxDiscoveryDepth"] = f.depth
	}
	if len(formats) > 0 {
		scrape["formats"] = formats
	}
	if f.whole {
		scrape["onlyMainContent"] = false
	}
	if len(scrape) > 0 {
		order["scrapeOptions"] = scrape
	}
	return order
}

// client finds the hub: by flags, by the environment, or the sandbox that is here.
func (f crawlFlags) client() (*client.Client, error) {
	c := &client.Client{API: cmp.Or(f.api, os.Getenv(envAPI)), Key: cmp.Or(f.key, os.Getenv(envKey))}
	if c.API == "" {
		info, err := sandboxHere()
		if err != nil {
			return nil, err
		}
		c.API, c.Key = info.API, cmp.Or(c.Key, info.Key)
	}
	if u, err := url.Parse(c.API); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--api %q is not a URL like https://hub.example:7401", c.API)
	}
	if c.Key == "" {
		return nil, fmt.Errorf("%s or --key gives the partner's key, which sward partner add prints", envKey)
	}
	return c, nil
}

func sandboxHere() (info sandbox.Info, err error) {
	for _, path := range []string{"sandbox.json", filepath.Join("sandbox", "sandbox.json")} {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(text, &info)
		}
		if err != nil {
			return info, fmt.Errorf("read %s: %w", path, err)
		}
		return info, nil
	}
	return info, fmt.Errorf("--api or %s names the hub, and no sandbox.json is here (sward sandbox --dir sandbox makes one)", envAPI)
}

// runCrawl has the wish come true before the person's eyes.
func runCrawl(cmd *cobra.Command, c *client.Client, w client.Wish) error {
	ctx, out, screen := cmd.Context(), cmd.OutOrStdout(), &progress{out: cmd.ErrOrStderr(), moving: isTerminal(cmd.ErrOrStderr())}
	taken, err := c.Take(ctx, w, screen.show)
	screen.end()
	if s := taken.Status.Status; s != "" && !taken.Status.Running() && ctx.Err() == nil {
		printErrors(ctx, out, c, taken.Job)
	}
	if err != nil {
		no, refused := errors.AsType[*client.Refused](err)
		switch {
		case refused && no.Status == http.StatusUnauthorized:
			return fmt.Errorf("%s does not know the key: %w", c.API, err)
		case ctx.Err() != nil && taken.Job != "":
			return fmt.Errorf("stopped; crawl %s is at the hub, and the same command goes on here", taken.Job)
		case taken.Job != "" && !refused && taken.Status.Completed > 0:
			return fmt.Errorf("%w; crawl %s is at the hub, and the same command goes on here", err, taken.Job)
		}
		return err
	}
	s := taken.Status
	fmt.Fprintf(out, "%s: %d documents, %s, of crawl %s, for %d credits\n", w.File, taken.Documents, size(uint64(taken.Bytes)), taken.Job, s.CreditsUsed) //nolint:gosec // a file's size
	if s.Status != "completed" {
		return fmt.Errorf("the crawl %s before its end (%s): the file has what there was", s.Status, cmp.Or(s.Error, "no reason is given"))
	}
	if s.Stopped != "" {
		fmt.Fprintf(out, "The crawl stopped at its bound (%s): the site has more.\n", printable(s.Stopped))
	}
	return nil
}

// printErrors lists by cause what was not delivered.
func printErrors(ctx context.Context, out io.Writer, c *client.Client, job string) {
	list, err := c.Errors(ctx, job)
	if err != nil || len(list) == 0 {
		return // the file is what was asked for
	}
	causes, first := map[string]int{}, map[string]client.PageError{}
	for _, e := range list {
		if causes[e.Code]++; causes[e.Code] == 1 {
			first[e.Code] = e
		}
	}
	fmt.Fprintf(out, "Not delivered, and not charged: %d pages\n", len(list))
	for _, code := range slices.SortedFunc(maps.Keys(causes), func(a, b string) int {
		return cmp.Or(cmp.Compare(causes[b], causes[a]), cmp.Compare(a, b))
	}) {
		e := first[code]
		fmt.Fprintf(out, "%7d  %-18s %s: %s\n", causes[code], printable(code), printable(e.URL), printable(e.Error))
	}
}

// progress draws a moving line on a terminal, and elsewhere prints one now and then.
type progress struct {
	out    io.Writer
	moving bool
	began  time.Time // of the phase
	from   int64     // what was there when it began
	phase  string
	last   time.Time
	drawn  bool
}

const (
	redraw  = 100 * time.Millisecond // on a terminal
	restate = 10 * time.Second       // in a log
	barCols = 24
)

func (p *progress) show(now client.Progress) {
	phase, done, total, rate := "crawling", int64(now.Status.Completed), int64(now.Status.Total), "pages"
	if now.Total != 0 {
		phase, done, total, rate = "fetching", now.Done, now.Total, "bytes"
	}
	ended := done == total && phase == "fetching" || phase == "crawling" && !now.Status.Running()
	first := p.phase != phase
	if first {
		p.end()
		if p.phase == "" {
			fmt.Fprintf(p.out, "crawl %s\n", now.Job)
		}
		p.phase, p.began, p.from = phase, time.Now(), done
	}
	pause := restate
	if p.moving {
		pause = redraw
	}
	if !first && !ended && time.Since(p.last) < pause {
		return
	}
	p.last = time.Now()
	p.draw(now, done, total, rate)
}

func (p *progress) draw(now client.Progress, done, total int64, unit string) {
	took := time.Since(p.began).Seconds()
	speed := float64(done-p.from) / max(took, 0.5)
	line := fmt.Sprintf("%s %s  %d of %d pages  %.1f pages/s", p.phase, bar(done, total), done, total, speed)
	if unit == "bytes" {
		line = fmt.Sprintf("%s %s  %s of %s  %s/s", p.phase, bar(done, total), size(uint64(done)), size(uint64(max(total, done))), size(uint64(max(speed, 0)))) //nolint:gosec // not negative
	}
	if now.Status.Waiting != "" {
		line += "  waits: " + printable(now.Status.Waiting)
	}
	if p.moving {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.out, line)
}

func bar(done, total int64) string {
	full := 0
	if total > 0 {
		full = int(min(done, total) * barCols / total)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", barCols-full) + "]"
}

// end leaves the moving line standing.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.out)
		p.drawn = false
	}
}
