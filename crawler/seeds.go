package crawler

import (
	"bufio"
	"bytes"
	"net/url"
	"strings"

	"sward/crawler/link"
)

const (
	maxSitemaps  = 50 // named by one robots.txt or sitemap index
	maxMapDepth  = 3  // sitemap indexes inside one another
	maxRobotsLen = 500 << 10
)

// seeds are the addresses under which a site lists itself, fetched through an edge like any page but
// not counted as one. They are queued with the start page's result, when it is known where the site is.
func (s *scope) seeds() []lead {
	if s.order.Sitemap == "skip" {
		return nil
	}
	start, err := url.Parse(s.base)
	if err != nil {
		return nil
	}
	var list []lead
	for path, kind := range map[string]int{"/robots.txt": kindRobots, "/sitemap.xml": kindSitemap} {
		at := &url.URL{Scheme: start.Scheme, Host: start.Host, Path: path}
		if l, err := newLead(at.String(), kind, 0, s.order); err == nil {
			list = append(list, l)
		}
	}
	return list
}

// readSeed returns the addresses that a robots.txt or a sitemap adds. A sitemap that is broken adds
// what stands before the break.
func (s *scope) readSeed(a arrival) []lead {
	var maps, pages []string
	if a.item.kind == kindRobots {
		maps = sitemapLines(a.Body, a.URL)
	} else {
		m, _ := link.ParseSitemap(bytes.NewReader(a.Body), maxPerDocument)
		maps, pages = m.Sitemaps, m.URLs
	}
	var list []lead
	if a.item.depth < maxMapDepth {
		for _, address := range maps[:min(len(maps), maxSitemaps)] {
			// robots.txt may name a sitemap anywhere (sitemaps.org); what it lists is judged as ever.
			if u, err := url.Parse(address); err != nil || reachable(u) != nil {
				continue
			}
			if l, err := newLead(address, kindSitemap, a.item.depth+1, s.order); err == nil {
				list = append(list, l)
			}
		}
	}
	return append(list, s.links(pages, 0)...)
}

// sitemapLines finds the Sitemap records of a robots.txt, which belong to no group of rules.
func sitemapLines(robots []byte, at string) (maps []string) {
	base, err := url.Parse(at)
	if err != nil {
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(robots[:min(len(robots), maxRobotsLen)]))
	lines.Buffer(nil, 2*link.MaxURL)
	for lines.Scan() && len(maps) < maxSitemaps {
		name, value, found := strings.Cut(strings.TrimPrefix(lines.Text(), "\ufeff"), ":")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "sitemap") {
			continue
		}
		if address, err := link.Canonical(strings.TrimSpace(value), base); err == nil {
			maps = append(maps, address)
		}
	}
	return maps
}
