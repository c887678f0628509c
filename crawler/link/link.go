// Package link knows addresses: the one spelling under which a page is queued and stored, which addresses are one page,
// which lead nowhere, and the lists of addresses that sites publish (sitemaps, feeds).
//
// Everything that names a page in the crawler has gone through Canonical; the frontier tells pages apart by Identity.
// Nothing here touches the network.
package link

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// MaxURL is the longest address, in bytes, that is crawled, stored or sent to an edge. RFC 9110
// asks for 8000; nearly every longer address than this one is a session state or a trap.
const MaxURL = 2048

// ErrNotCrawlable is the cause of each refusal by Canonical: the address is malformed, too long,
// or not one a crawler may visit.
var ErrNotCrawlable = errors.New("address cannot be crawled")

// trackingParameters name who sent a visitor, never which page is shown. Keeping them would fetch
// one page once per advertisement that points to it.
var trackingParameters = map[string]bool{
	"dclid": true, "fbclid": true, "gad_source": true, "gbraid": true, "gclid": true, "gclsrc": true,
	"igshid": true, "li_fat_id": true, "mc_cid": true, "mc_eid": true, "mkt_tok": true, "msclkid": true,
	"oly_anon_id": true, "oly_enc_id": true, "srsltid": true, "ttclid": true, "twclid": true,
	"vero_id": true, "wbraid": true, "wickedid": true, "yclid": true, "_hsenc": true, "_hsmi": true,
	"_openstat": true, "__hssc": true, "__hsfp": true, "__hstc": true,
}

// trackingPrefixes are families of such parameters.
var trackingPrefixes = []string{"utm_", "hsa_", "pk_", "mtm_", "piwik_", "matomo_"}

// urlParser reads addresses as browsers do, but for a lone percent sign, which it encodes: the standard
// library, which will dial them, refuses it.
var urlParser = whatwg.NewParser(whatwg.WithPercentEncodeSinglePercentSign())

// Canonical returns the one spelling of an address under which a page is queued, fetched and
// stored: parsed as a browser parses it (WHATWG URL), relative to base where base is given, without
// fragment, default port and tracking parameters. Anything but http and https, an address with
// credentials and one over MaxURL bytes is refused with an error that wraps ErrNotCrawlable.
// Query parameters keep their order, since servers may give it a meaning.
func Canonical(raw string, base *url.URL) (string, error) {
	var from *whatwg.Url
	if base != nil {
		var err error
		if from, err = urlParser.Parse(base.String()); err != nil {
			return "", fmt.Errorf("%w: its base is malformed", ErrNotCrawlable)
		}
	}
	return canonicalise(raw, from)
}

func canonicalise(raw string, base *whatwg.Url) (string, error) {
	if len(raw) > 2*MaxURL { // too long even when the fragment and the tracking parameters have gone
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrNotCrawlable, len(raw), MaxURL)
	}
	parse := urlParser.Parse
	if base != nil {
		parse = base.Parse
	}
	u, err := parse(raw)
	if err != nil {
		return "", fmt.Errorf("%w: it is malformed", ErrNotCrawlable) // the cause would quote it
	}
	switch {
	case u.Scheme() != "http" && u.Scheme() != "https":
		return "", fmt.Errorf("%w: scheme %.20q", ErrNotCrawlable, u.Scheme())
	case u.Hostname() == "":
		return "", fmt.Errorf("%w: no host", ErrNotCrawlable)
	case u.Username() != "" || u.Password() != "":
		return "", fmt.Errorf("%w: it carries credentials", ErrNotCrawlable)
	}
	const withoutFragment = true
	address := withoutTracking(u.Href(withoutFragment))
	if len(address) > MaxURL {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrNotCrawlable, len(address), MaxURL)
	}
	if _, err := url.Parse(address); err != nil {
		return "", fmt.Errorf("%w: it is malformed", ErrNotCrawlable)
	}
	return address, nil
}

// withoutTracking works on the text of the query, because decoding and encoding it again would
// change addresses that have nothing to remove (`?a` would become `?a=`).
func withoutTracking(address string) string {
	path, query, found := strings.Cut(address, "?")
	if !found {
		return address
	}
	kept := make([]string, 0, strings.Count(query, "&")+1)
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if !tracks(strings.ToLower(name)) {
			kept = append(kept, pair)
		}
	}
	if rest := strings.Join(kept, "&"); rest != "" {
		return path + "?" + rest
	}
	return path
}

func tracks(name string) bool {
	if trackingParameters[name] {
		return true
	}
	for _, prefix := range trackingPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Set collects addresses in document order, each once, up to a limit.
type Set struct {
	base  *whatwg.Url // nil: references have to be absolute
	limit int
	seen  map[string]bool
	list  []string
}

func NewSet(base *url.URL, limit int) *Set {
	set := &Set{limit: limit, seen: make(map[string]bool)}
	if base != nil {
		set.base, _ = urlParser.Parse(base.String()) // a base that does not parse resolves nothing
	}
	return set
}

// Add resolves one reference. References that cannot be crawled (javascript:, data:, mailto:) and
// those over the limit are dropped.
func (s *Set) Add(ref string) {
	if len(s.list) >= s.limit || strings.HasPrefix(ref, "#") || strings.TrimSpace(ref) == "" {
		return
	}
	address, err := canonicalise(ref, s.base)
	if err != nil || s.seen[address] {
		return
	}
	s.seen[address] = true
	s.list = append(s.list, address)
}

// List is what was collected.
func (s *Set) List() []string { return s.list }

// Full reports that nothing more is taken.
func (s *Set) Full() bool { return len(s.list) >= s.limit }
