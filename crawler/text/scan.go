package text

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"sward/crawler/link"
)

// scanName stands in a document's provenance where nobody asked for its text.
const scanName = "addresses only"

// Scan reads what a crawl needs of a page whose text nobody asked for: title, description, language, robots, canonical
// address, Open Graph, links and images, as Extract finds them. It makes one pass without a tree, which costs a twentieth
// and needs no budget of time: it is linear, over at most 16 MiB. Its errors are those of Extract.
func Scan(body []byte, contentType string, base *url.URL, o Options) (Content, error) {
	if len(body) > maxPageBytes {
		return Content{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), maxPageBytes)
	}
	o = o.withDefaults()
	form, source, err := decodeDocument(body, contentType)
	if err != nil {
		return Content{}, err
	}
	if form == formPlain {
		size := len(strings.TrimSpace(source))
		return Content{Shown: size, Said: size, Extractor: scanName}, nil
	}
	s := scan{facts: newFacts(), leads: newReferences(o.MaxLinks), shows: newReferences(o.MaxLinks)}
	s.read(source, o.MaxNodes)
	return s.content(base), nil
}

// scan is a page in the course of being read. References wait for the end, since a <base> may follow them.
type scan struct {
	facts
	base, canonical string
	leads, shows    references
}

func (s *scan) read(source string, tokens int) {
	z := html.NewTokenizer(strings.NewReader(source))
	drawings := 0        // open <svg>, which have titles of their own
	var within atom.Atom // the element whose text comes next, if that is not for readers
	linked := false      // inside of a link
	var element html.Node
	for range tokens {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.TextToken:
			switch within {
			case 0:
				s.amount(len(bytes.TrimSpace(z.Raw())), linked)
			case atom.Title:
				first(&s.Title, string(z.Text()))
			case atom.Script:
				readLinkedData(&s.Content, string(z.Text()))
			}
			within = 0
		case html.EndTagToken:
			within = 0
			switch name, _ := z.TagName(); string(name) {
			case "svg":
				drawings = max(0, drawings-1)
			case "a":
				linked = false
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			within = 0
			switch tag := atom.Lookup(name); tag {
			case atom.Svg:
				drawings++
			case atom.Title:
				if within = unread; drawings == 0 {
					within = tag
				}
			case atom.Script:
				if within = unread; more && linkedData(z.Raw()) {
					within = tag
				}
			case atom.Style, atom.Noscript, atom.Iframe, atom.Noembed, atom.Noframes, atom.Textarea:
				within = unread
			case atom.A, atom.Area, atom.Img, atom.Input, atom.Base, atom.Html, atom.Link, atom.Meta, atom.Time:
				element.DataAtom, element.Attr = tag, tellingAttributes(z, more, element.Attr[:0])
				s.element(&element)
				linked = linked || tag == atom.A && attr(&element, "href") != ""
			}
		}
	}
}

// unread stands for any element whose text nobody reads.
const unread = atom.Style

func (s *scan) amount(size int, linked bool) {
	s.Shown += size
	if !linked {
		s.Said += size
	}
}

// tellingAttributes appends those attributes of the current tag that element reads.
func tellingAttributes(z *html.Tokenizer, more bool, to []html.Attribute) []html.Attribute {
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		var name string
		switch string(key) { // constants: a copy of each key would be garbage
		case "href":
			name = "href"
		case "src":
			name = "src"
		case "content":
			name = "content"
		case "name":
			name = "name"
		case "property":
			name = "property"
		case "rel":
			name = "rel"
		case "type":
			name = "type"
		case "lang":
			name = "lang"
		case "http-equiv":
			name = "http-equiv"
		case "itemprop":
			name = "itemprop"
		case "datetime":
			name = "datetime"
		case "pubdate":
			name = "pubdate"
		default:
			continue
		}
		if len(value) <= maxTag { // an image inside its own address
			to = append(to, html.Attribute{Key: name, Val: string(value)})
		}
	}
	return to
}

// element learns from a tag.
func (s *scan) element(n *html.Node) {
	switch n.DataAtom {
	case atom.A, atom.Area:
		s.leads.add(attr(n, "href"))
	case atom.Img:
		s.shows.add(attr(n, "src"))
	case atom.Base:
		if s.base == "" {
			s.base = attr(n, "href")
		}
	case atom.Link:
		if s.canonical == "" && strings.EqualFold(attr(n, "rel"), "canonical") {
			s.canonical = attr(n, "href")
		}
		s.licence(n)
	case atom.Meta:
		if strings.EqualFold(attr(n, "http-equiv"), "refresh") {
			s.leads.add(refreshTarget(attr(n, "content")))
		}
		s.meta(n)
	default:
		s.facts.element(n)
	}
}

func (s *scan) content(page *url.URL) Content {
	base := baseAddress(s.base, page)
	t := s.facts.content(base)
	t.Extractor = scanName
	if s.canonical != "" {
		t.Canonical, _ = link.Canonical(s.canonical, base)
	}
	t.Links, t.Images = s.leads.resolve(base), s.shows.resolve(base)
	return t
}

// references are addresses as a page writes them, each spelling once: resolving one costs more than reading its tag, and
// menus repeat.
type references struct {
	limit int // of those that are resolved
	known map[string]bool
	list  []string
}

func newReferences(limit int) references {
	return references{limit: limit, known: make(map[string]bool)}
}

// maxSpellings bounds what is kept of one page before it is resolved, as a multiple of what may come of it: several
// spellings, or none, may make one address.
const maxSpellings = 4

func (r *references) add(ref string) {
	ref, _, _ = strings.Cut(ref, "#")
	if ref == "" || len(r.list) >= maxSpellings*r.limit || r.known[ref] {
		return
	}
	r.known[ref] = true
	r.list = append(r.list, ref)
}

func (r *references) resolve(base *url.URL) []string {
	set := link.NewSet(base, r.limit)
	for _, ref := range r.list {
		if set.Full() {
			break
		}
		set.Add(ref)
	}
	return set.List()
}
