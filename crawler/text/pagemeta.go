package text

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"sward/crawler/link"
)

const (
	maxOG         = 64        // Open Graph properties kept
	maxRobots     = 16        // tags that speak to robots
	maxLinkedData = 256 << 10 // bytes of a page's schema.org facts
	maxGraphDepth = 8         // levels of them that are searched
	maxLicences   = 4         // RSL documents that one page names
)

// facts are what a page says about itself. The first statement of a kind counts.
type facts struct {
	Content
	og     map[string]string
	robots []string
	terms  []string // addresses of RSL documents, as written
}

func newFacts() facts { return facts{og: make(map[string]string)} }

// readMeta reads a page's facts from its tree.
func readMeta(doc *html.Node, base *url.URL) Content {
	f := newFacts()
	for n := range doc.Descendants() {
		switch n.DataAtom {
		case atom.Title:
			if n.Parent != nil && n.Parent.DataAtom == atom.Head { // an SVG has titles of its own
				first(&f.Title, textOf(n))
			}
		case atom.Link:
			if f.Canonical == "" && strings.EqualFold(attr(n, "rel"), "canonical") {
				f.Canonical, _ = link.Canonical(attr(n, "href"), base)
			}
			f.licence(n)
		case atom.Script:
			readLinkedData(&f.Content, textOf(n))
		default:
			f.element(n)
		}
	}
	return f.content(base)
}

// element learns from one element whose attributes say all.
func (f *facts) element(n *html.Node) {
	switch n.DataAtom {
	case atom.Html:
		first(&f.Language, languageCode(attr(n, "lang")))
	case atom.Time:
		if hasAttr(n, "pubdate") || attr(n, "itemprop") == "datePublished" {
			first(&f.Published, attr(n, "datetime"))
		}
	case atom.Input:
		f.Password = f.Password || strings.EqualFold(attr(n, "type"), "password")
	case atom.Meta:
		f.meta(n)
	}
}

// amount counts the bytes of text below n, and those of them outside of links.
func amount(n *html.Node) (shown, said int) {
	for c := range n.ChildNodes() { // as deep as the parser allows, 512
		if c.Type == html.TextNode {
			size := len(strings.TrimSpace(c.Data))
			shown, said = shown+size, said+size
			continue
		}
		all, outside := amount(c)
		shown += all
		if c.DataAtom != atom.A || attr(c, "href") == "" {
			said += outside
		}
	}
	return shown, said
}

// licence takes a link to an RSL document. One to a page for people (rel=license is older than RSL) says nothing to us.
func (f *facts) licence(n *html.Node) {
	if len(f.terms) < maxLicences && strings.EqualFold(attr(n, "rel"), "license") && strings.EqualFold(attr(n, "type"), "application/rsl+xml") {
		f.terms = append(f.terms, attr(n, "href"))
	}
}

func (f *facts) content(base *url.URL) Content {
	t := f.Content
	first(&t.Title, f.og["title"])
	first(&t.Description, f.og["description"])
	first(&t.Language, languageCode(f.og["locale"]))
	t.Published = publishedTime(t.Published)
	t.Robots = Line(strings.ToLower(strings.Join(f.robots, ", ")), maxMetaText)
	if len(f.og) > 0 {
		t.OG = f.og
	}
	for _, ref := range f.terms {
		if at, err := link.Canonical(ref, base); err == nil {
			t.Licences = append(t.Licences, at)
		}
	}
	return t
}

func (f *facts) meta(n *html.Node) {
	content := attr(n, "content")
	if property, isOG := strings.CutPrefix(strings.ToLower(attr(n, "property")), "og:"); isOG && len(f.og) < maxOG {
		property = Line(property, 64)
		if _, have := f.og[property]; !have && property != "" {
			f.og[property] = Line(content, maxMetaText)
		}
		return
	}
	name := strings.ToLower(attr(n, "name") + attr(n, "property") + attr(n, "itemprop"))
	switch name {
	case "description":
		first(&f.Description, content)
	case "author", "article:author", "dc.creator", "parsely-author":
		if !strings.HasPrefix(content, "http") { // some put a profile's address here
			first(&f.Author, content)
		}
	case "article:published_time", "date", "dc.date", "dc.date.issued", "datepublished", "parsely-pub-date", "citation_publication_date":
		first(&f.Published, content)
	case "tdm-reservation":
		first(&f.TDMReservation, content)
	case "tdm-policy":
		first(&f.TDMPolicy, content)
	case "robots", "swardbot":
		if len(f.robots) < maxRobots {
			f.robots = append(f.robots, strings.TrimSpace(content))
		}
	}
	if strings.EqualFold(attr(n, "http-equiv"), "content-language") {
		first(&f.Language, languageCode(content))
	}
}

// readLinkedData takes author and date from a schema.org block, wherever they stand in its graph.
func readLinkedData(t *Content, source string) {
	if len(source) > maxLinkedData || t.Author != "" && t.Published != "" {
		return
	}
	var graph any
	if json.Unmarshal([]byte(source), &graph) == nil {
		searchGraph(t, graph, maxGraphDepth)
	}
}

func searchGraph(t *Content, node any, depth int) {
	if depth == 0 {
		return
	}
	switch v := node.(type) {
	case []any:
		for _, item := range v {
			searchGraph(t, item, depth-1)
		}
	case map[string]any:
		if date, ok := v["datePublished"].(string); ok {
			first(&t.Published, date)
		}
		first(&t.Author, personName(v["author"]))
		searchGraph(t, v["@graph"], depth-1)
		searchGraph(t, v["mainEntity"], depth-1)
	}
}

// personName reads an author given as a name, a Person or a list of either.
func personName(author any) string {
	switch v := author.(type) {
	case string:
		return v
	case map[string]any:
		name, _ := v["name"].(string)
		return name
	case []any:
		var names []string
		for _, one := range v[:min(len(v), 16)] {
			if _, nested := one.([]any); nested {
				continue
			}
			if name := personName(one); name != "" {
				names = append(names, name)
			}
		}
		return strings.Join(names, ", ")
	}
	return ""
}

// first sets a fact that is not known yet.
func first(fact *string, value string) {
	if *fact == "" {
		*fact = Line(value, maxMetaText)
	}
}

// languageCode returns the primary subtag of a BCP 47 tag, lower case, or the empty string.
func languageCode(tag string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(tag), "_", "-"), "-")
	primary = strings.ToLower(primary)
	if len(primary) < 2 || len(primary) > 3 || strings.Trim(primary, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return primary
}

// publishedTime brings the usual forms of a date to RFC 3339, and leaves any other as it is.
func publishedTime(s string) string {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05-0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly, "2006/01/02"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.Format(time.RFC3339)
		}
	}
	return s
}
