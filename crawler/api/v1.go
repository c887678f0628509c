package api

import (
	"fmt"
	"net/url"
	"strings"

	"sward/crawler"
)

const (
	maxDepthV1     = 100    // segments of a path: no site is deeper, and the pattern stays small
	scrapeTimeout1 = 30_000 // milliseconds, version 1's default
)

// orderV1 is what version 1 calls differently.
type orderV1 struct {
	MaxDepth           *int  `json:"maxDepth"` // segments of a page's path below the start page's
	IgnoreSitemap      *bool `json:"ignoreSitemap"`
	SitemapOnly        bool  `json:"sitemapOnly"` // of map
	AllowBackwardLinks bool  `json:"allowBackwardLinks"`
}

// translate puts an order of version 1 into version 2's words.
func (q orderV1) translate(o crawler.Order) crawler.Order {
	o.CrawlEntireDomain = o.CrawlEntireDomain || q.AllowBackwardLinks
	switch {
	case q.SitemapOnly:
		o.Sitemap = "only"
	case q.IgnoreSitemap != nil && *q.IgnoreSitemap:
		o.Sitemap = "skip"
	}
	if q.MaxDepth != nil {
		if deep := deeperThan(o.URL, *q.MaxDepth, o.RegexOnFullURL); deep != "" {
			o.ExcludePaths = append(o.ExcludePaths, deep)
		}
	}
	o.Scrape = scrapeV1(o.Scrape)
	return o
}

// scrapeV1 fills in version 1's own defaults.
func scrapeV1(o crawler.ScrapeOptions) crawler.ScrapeOptions {
	if o.Timeout == 0 {
		o.Timeout = scrapeTimeout1
	}
	if o.MaxAge == nil && o.MinAge == 0 {
		o.MaxAge = new(int64) // version 1 always fetches, unless it is told otherwise
	}
	return o
}

// deeperThan is a pattern for paths with more segments than the start page's and max more: what version 1 means by depth.
func deeperThan(start string, most int, fullURL bool) string {
	if most < 0 || most > maxDepthV1 {
		return ""
	}
	if !strings.Contains(start, "://") {
		start = "https://" + start
	}
	u, err := url.Parse(start)
	if err != nil {
		return "" // the order's own check says why
	}
	for _, segment := range strings.Split(u.Path, "/") {
		if segment != "" && segment != "index.html" && segment != "index.php" {
			most++
		}
	}
	if fullURL {
		return fmt.Sprintf("^[a-z]+://[^/?]+/(?:[^/?]+/){%d}[^/?]", min(most, maxDepthV1))
	}
	return fmt.Sprintf("^/?(?:[^/]+/){%d}[^/]", min(most, maxDepthV1))
}
