package text

import (
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"sward/crawler/link"
)

// documentBase is the address that relative links are resolved against: the first <base href>, if
// it is an http address, else the page's own. A hostile base needs no care here: every address that
// comes out of a page passes the address gate before it is dialled.
func documentBase(doc *html.Node, page *url.URL) *url.URL {
	for n := range doc.Descendants() {
		if n.DataAtom == atom.Base && attr(n, "href") != "" {
			return baseAddress(attr(n, "href"), page)
		}
	}
	return page
}

func baseAddress(href string, page *url.URL) *url.URL {
	if href == "" {
		return page
	}
	address, err := link.Canonical(href, page)
	if err != nil {
		return page
	}
	base, err := url.Parse(address)
	if err != nil {
		return page
	}
	return base
}

// collectLinks reads the addresses that a page leads to and the images it shows.
func collectLinks(doc *html.Node, base *url.URL, limit int) (links, images []string) {
	leads, shows := link.NewSet(base, limit), link.NewSet(base, limit)
	for n := range doc.Descendants() {
		switch n.DataAtom {
		case atom.A, atom.Area:
			leads.Add(attr(n, "href"))
		case atom.Meta:
			if strings.EqualFold(attr(n, "http-equiv"), "refresh") {
				leads.Add(refreshTarget(attr(n, "content")))
			}
		case atom.Img:
			shows.Add(attr(n, "src"))
		}
	}
	return leads.List(), shows.List()
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
