package crawler

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// MaxURL is the longest address, in bytes, that is crawled, stored or sent to an edge. RFC 9110
// asks for 8000; nearly every longer address than this one is a session state or a trap.
const MaxURL = 2048

// ErrNotCrawlable is the cause of each refusal by Canonicalise: the address is malformed, too long,
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

// Canonicalise returns the one spelling of an address under which a page is queued, fetched and
// stored: parsed as a browser parses it (WHATWG URL), relative to base where base is given, without
// fragment, default port and tracking parameters. Anything but http and https, an address with
// credentials and one over MaxURL bytes is refused with an error that wraps ErrNotCrawlable.
// Query parameters keep their order, since servers may give it a meaning.
func Canonicalise(raw string, base *url.URL) (string, error) {
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

// documentBase is the address that relative links are resolved against: the first <base href>, if
// it is an http address, else the page's own. A hostile base needs no care here: every address that
// comes out of a page passes the address gate before it is dialled.
func documentBase(doc *html.Node, page *url.URL) *url.URL {
	for n := range doc.Descendants() {
		if n.DataAtom != atom.Base || attr(n, "href") == "" {
			continue
		}
		address, err := Canonicalise(attr(n, "href"), page)
		if err != nil {
			break
		}
		if base, err := url.Parse(address); err == nil {
			return base
		}
		break
	}
	return page
}

// linkSet collects addresses in document order, each once, up to a limit.
type linkSet struct {
	base  *whatwg.Url // nil: references have to be absolute
	limit int
	seen  map[string]bool
	list  []string
}

func newLinkSet(base *url.URL, limit int) *linkSet {
	set := &linkSet{limit: limit, seen: make(map[string]bool)}
	if base != nil {
		set.base, _ = urlParser.Parse(base.String()) // a base that does not parse resolves nothing
	}
	return set
}

// add resolves one reference. References that cannot be crawled (javascript:, data:, mailto:) and
// those over the limit are dropped.
func (s *linkSet) add(ref string) {
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

// collectLinks reads the addresses that a page leads to and the images it shows.
func collectLinks(doc *html.Node, base *url.URL, limit int) (links, images []string) {
	leads, shows := newLinkSet(base, limit), newLinkSet(base, limit)
	for n := range doc.Descendants() {
		switch n.DataAtom {
		case atom.A, atom.Area:
			leads.add(attr(n, "href"))
		case atom.Meta:
			if strings.EqualFold(attr(n, "http-equiv"), "refresh") {
				leads.add(refreshTarget(attr(n, "content")))
			}
		case atom.Img:
			shows.add(attr(n, "src"))
		}
	}
	return leads.list, shows.list
}

// refreshTarget reads `5; url='/next'`, the content of <meta http-equiv=refresh>.
func refreshTarget(content string) string {
	_, rest, found := strings.Cut(content, ";")
	if !found {
		return ""
	}
	rest = strings.TrimSpace(rest)
	if len(rest) < 4 || !strings.EqualFold(rest[:3], "url") {
		return ""
	}
	rest = strings.TrimSpace(rest[3:])
	if !strings.HasPrefix(rest, "=") {
		return ""
	}
	return strings.Trim(strings.TrimSpace(rest[1:]), `"'`)
}

// attr returns the value of an element's attribute, or the empty string.
func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
