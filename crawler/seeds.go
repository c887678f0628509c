package crawler

import (
	"bytes"
	"net/url"

	"sward/crawler/link"
)

const (
	maxSitemaps = 50 // named by one robots.txt or sitemap index
	maxMapDepth = 3  // sitemap indexes inside one another
)

// seeds are the addresses under which a site lists its pages, fetched through an edge like any page but not counted as one:
// the usual place, and those that its robots.txt names. They are queued with the start page's result, when it is known where
// the site is.
func (s *scope) seeds(of *card) []lead {
	if s.order.Sitemap == "skip" {
		return nil
	}
	start, err := url.Parse(s.base)
	if err != nil {
		return nil
	}
	list := s.sitemaps([]string{start.Scheme + "://" + start.Host + "/sitemap.xml"}, 0)
	if of != nil {
		list = append(list, s.sitemaps(of.sitemaps, 0)...)
	}
	return list
}

// sitemaps are leads to sitemaps. robots.txt may name one anywhere (sitemaps.org); what it lists is judged as ever.
func (s *scope) sitemaps(addresses []string, depth int) (list []lead) {
	base, err := url.Parse(s.base)
	if err != nil {
		return nil
	}
	for _, raw := range addresses[:min(len(addresses), maxSitemaps)] {
		address, err := link.Canonical(raw, base)
		if err != nil {
			continue
		}
		if u, err := url.Parse(address); err != nil || reachable(u) != nil {
			continue
		}
		if l, err := newLead(address, kindSitemap, depth, s.order); err == nil {
			list = append(list, l)
		}
	}
	return list
}

// readSeed returns the addresses that a sitemap adds. One that is broken adds what stands before the break.
func (s *scope) readSeed(a arrival) []lead {
	m, _ := link.ParseSitemap(bytes.NewReader(a.Body), maxPerDocument)
	var list []lead
	if a.item.depth < maxMapDepth {
		list = s.sitemaps(m.Sitemaps, a.item.depth+1)
	}
	pages := s.links(m.URLs, 0)
	for i, l := range pages {
		if said, ok := m.Said[l.url]; ok {
			pages[i].worth = worth(said, a.Started)
		}
	}
	return append(list, pages...)
}
