package crawler

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"sward/crawler/link"
	"sward/policy"
)

// scope is the compiled answer to "does this address belong to the job?".
type scope struct {
	base             string
	order            Order
	host, domain     string // of the start address: host without www., registrable domain
	prefix           string // of paths; empty: the whole host
	include, exclude []*regexp.Regexp
}

func newScope(o Order, base string) (*scope, error) {
	start, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("start address: %w", err)
	}
	s := &scope{base: base, order: o, host: link.Bare(start), domain: link.Registrable(start.Hostname())}
	if !o.CrawlEntireDomain {
		// The path that the partner wrote governs, also when it redirects to another host.
		if asked, err := url.Parse(o.URL); err == nil {
			s.prefix = below(asked.EscapedPath())
		}
	}
	if s.include, err = patterns("includePaths", o.IncludePaths); err != nil {
		return nil, err
	}
	if s.exclude, err = patterns("excludePaths", o.ExcludePaths); err != nil {
		return nil, err
	}
	return s, nil
}

// below gives the prefix that "child pages" of a path share: of /docs and /docs/ it is /docs/, of a
// file (/docs/index.html) the directory that it lies in, of the root everything.
func below(p string) string {
	if last := path.Base(p); strings.Contains(last, ".") && !strings.HasSuffix(p, "/") {
		p = path.Dir(p)
	}
	if p = strings.TrimSuffix(p, "/"); p == "" || p == "." {
		return ""
	}
	return p + "/"
}

// links turns the addresses on a page into what the job will fetch: in scope, not a trap, within the
// depth, and allowed by the rules that hold for every partner.
func (s *scope) links(addresses []string, depth int) []lead {
	if s.order.MaxDiscoveryDepth != nil && depth > *s.order.MaxDiscoveryDepth {
		return nil
	}
	var found []lead
	for _, address := range addresses {
		if len(found) == maxPerDocument {
			break
		}
		if !s.admits(address) {
			continue
		}
		if l, err := newLead(address, kindPage, depth, s.order); err == nil {
			found = append(found, l)
		}
	}
	return found
}

// admits reports whether an address is one the job should fetch.
func (s *scope) admits(address string) bool {
	u, err := url.Parse(address)
	return err == nil && s.covers(u) && s.delivers(u) && link.IsPage(u) && !link.IsTrap(u) && reachable(u) == nil
}

// covers is the rule on hosts and on the part of the start host.
func (s *scope) covers(u *url.URL) bool {
	host := link.Bare(u)
	switch {
	case host == s.host:
		at := u.EscapedPath()
		return s.prefix == "" || strings.HasPrefix(at, s.prefix) || at+"/" == s.prefix
	case s.order.AllowSubdomains && link.Registrable(u.Hostname()) == s.domain:
		return true
	default:
		return s.order.AllowExternalLinks
	}
}

// delivers is the rule on paths: no exclude matches, and an include does where there are any. A
// pattern may be written with or without the leading slash of the path.
func (s *scope) delivers(u *url.URL) bool {
	subject := []string{u.Path, strings.TrimPrefix(u.Path, "/")}
	if s.order.RegexOnFullURL {
		subject = []string{u.String()}
	}
	matches := func(list []*regexp.Regexp) bool {
		for _, re := range list {
			for _, text := range subject {
				if re.MatchString(text) {
					return true
				}
			}
		}
		return false
	}
	return !matches(s.exclude) && (len(s.include) == 0 || matches(s.include))
}

// reachable applies the rules on destinations that need no resolver, so that an address which every
// edge would refuse is refused before it is queued. The edge's gate decides about what names resolve
// to.
func reachable(u *url.URL) error {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	target, err := policy.ParseTarget(host + ":" + port)
	if err != nil {
		return err
	}
	if a, ok := target.Host.Addr(); ok {
		return policy.Gate{}.Check(a)
	}
	return nil
}
