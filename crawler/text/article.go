package text

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/go-shiori/go-readability"
	"github.com/markusmobius/go-trafilatura"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	minArticle = 100 // bytes; a shorter article is not believed to be one
	// shortUnit is the length in bytes under which a passage has to match as a whole: "Share" stands in
	// "shareholder" too.
	shortUnit   = 32
	articleStep = 64 << 10 // bytes of the article that are searched for the next passage of the page

	// An article is doubted below doubtful bytes, and where the page says doubtfulShare times as much outside of links. To ask
	// the second extractor about every page costs 14 ms each and finds nothing more on the comparison sample.
	doubtful      = 500
	doubtfulShare = 4
	foundPercent  = 90 // of an article's bytes that have to be found again in the page
	allPercent    = 75 // of a page's bytes above which an extractor took everything
)

// findArticle returns the page's article as the children of one new element, or nil where there is
// none to speak of: product pages, lists and forums often have none, and an empty document helps
// nobody. go-trafilatura decides which passages belong to it, or go-readability where it found next to nothing. Their own
// trees are the last resort, because they lose the lines of code, glue words around emphasis and flatten short pages: the
// passages are found again in the page itself, which keeps its tables, lists and code.
func findArticle(doc, body *html.Node, base *url.URL) *html.Node {
	found := mainText(doc, body, base)
	if found == nil {
		return nil
	}
	a := article{text: squeeze(textOf(found)), units: make(map[string]bool)}
	if len(a.text) < minArticle {
		return nil
	}
	relabel(found)
	for _, u := range unitsOf(found) {
		a.units[squeeze(u.text())] = true
	}
	units := unitsOf(body)
	keep := make([]bool, len(units))
	matched, total, first, last := 0, 0, len(units), -1
	for n, u := range units {
		text := squeeze(u.text())
		total += len(text)
		if text != "" && a.has(text) {
			keep[n] = true
			matched += len(text)
			first, last = min(first, n), n
		}
	}
	switch {
	case matched >= len(a.text)*foundPercent/100:
	case len(a.text) > total*allPercent/100:
		return nil // it took everything, and lost the form
	default: // the page is built in a way that unitsOf does not see through
		return gather(found, func(n *html.Node) bool { return n.Parent == found })
	}
	for n, u := range units {
		// A picture is kept between the article's passages, and directly before and behind them.
		if picture := n >= first-1 && n <= last+1 && squeeze(u.text()) == ""; !keep[n] && !picture {
			u.remove()
		}
	}
	return gather(body, func(n *html.Node) bool { return n.Parent == body })
}

// mainText is the page's main content as an extractor sees it.
func mainText(doc, body *html.Node, base *url.URL) *html.Node {
	var found *html.Node
	size := 0
	result, err := trafilatura.ExtractDocument(doc, trafilatura.Options{
		OriginalURL: base, ExcludeComments: true,
		HtmlDateMode: trafilatura.Disabled, // costs half of the time; readMeta has what the page declares
	})
	if err == nil && result.ContentNode != nil {
		found = result.ContentNode
		size = len(squeeze(textOf(found)))
	}
	if size >= doubtful && spoken(body) <= doubtfulShare*size {
		return found
	}
	second, err := readability.FromDocument(doc, base)
	if err != nil || second.Node == nil {
		return found
	}
	// go-trafilatura's own rule for when to believe the other.
	if other := len(squeeze(second.TextContent)); other > 2*size || other > doubtful && isFormless(found) {
		return second.Node
	}
	return found
}

// spoken counts the bytes of a page's text outside of links and of what is about the site.
func spoken(root *html.Node) (size int) {
	for c := range root.ChildNodes() { // as deep as the parser allows, 512
		switch {
		case c.Type == html.TextNode:
			size += len(strings.TrimSpace(c.Data))
		case c.DataAtom != atom.A && (c.DataAtom == atom.Form || !isBoilerplate(c)): // some sites are one form
			size += spoken(c)
		}
	}
	return size
}

// isFormless tells an article without paragraphs, or with more tables than paragraphs.
func isFormless(found *html.Node) bool {
	if found == nil {
		return true
	}
	paragraphs, tables, said := 0, 0, false
	for n := range found.Descendants() {
		switch n.Data {
		case "p":
			paragraphs++
			said = said || strings.TrimSpace(textOf(n)) != ""
		case "table":
			tables++
		}
	}
	return !said || tables > paragraphs
}

// article is what go-trafilatura took from a page, without white space, which it changes.
type article struct {
	text  string
	units map[string]bool
	at    int // everything before was matched
}

// has reports that a passage of the page is in the article. Passages come in document order.
func (a *article) has(text string) bool {
	if a.units[text] {
		return true
	}
	if len(text) < shortUnit {
		return false
	}
	window := a.text[a.at:min(len(a.text), a.at+articleStep+len(text))]
	i := strings.Index(window, text)
	if i < 0 {
		return false
	}
	a.at += i + len(text)
	return true
}

// unit is a passage of a page: a block without blocks inside, or a run of inline nodes between
// blocks. Tables of data and code are one passage each, since half of one is worse than none.
type unit []*html.Node

// unitsOf returns the passages below root in document order.
func unitsOf(root *html.Node) (units []unit) {
	holds := blockHolders(root)
	var walk func(*html.Node) // as deep as the parser allows, 512
	walk = func(n *html.Node) {
		var run unit
		end := func() {
			if run.says() {
				units = append(units, run)
			}
			run = nil
		}
		for c := range n.ChildNodes() {
			whole := c.DataAtom == atom.Pre || c.DataAtom == atom.Table && !isLayout(c)
			switch {
			case !whole && holds[c]:
				end()
				walk(c)
			case whole || isBlock(c) && c.DataAtom != atom.Br:
				end()
				run = unit{c}
				end()
			default:
				run = append(run, c)
			}
		}
		end()
	}
	walk(root)
	return units
}

// blockHolders returns the elements that have a block somewhere inside.
func blockHolders(root *html.Node) map[*html.Node]bool {
	holds := make(map[*html.Node]bool)
	for n := range root.Descendants() {
		if n.DataAtom == atom.Br || !isBlock(n) {
			continue
		}
		for p := n.Parent; p != nil && p != root && !holds[p]; p = p.Parent {
			holds[p] = true
		}
	}
	return holds
}

func (u unit) text() string {
	var out strings.Builder
	for _, n := range u {
		if n.Type == html.TextNode {
			out.WriteString(n.Data)
		}
		out.WriteString(textOf(n))
	}
	return out.String()
}

// says reports that the passage holds text or a picture.
func (u unit) says() bool {
	if strings.TrimSpace(u.text()) != "" {
		return true
	}
	for _, n := range u {
		if n.DataAtom == atom.Img {
			return true
		}
		for d := range n.Descendants() {
			if d.DataAtom == atom.Img {
				return true
			}
		}
	}
	return false
}

func (u unit) remove() {
	for _, n := range u {
		n.Parent.RemoveChild(n)
	}
}

// isLayout tells a table that arranges a page from one that holds data: it contains headings, forms
// or tables.
func isLayout(table *html.Node) bool {
	for d := range table.Descendants() {
		switch d.DataAtom {
		case atom.Table, atom.H1, atom.H2, atom.H3, atom.Article, atom.Form:
			return true
		}
	}
	return false
}

// relabel sets the atoms that go-trafilatura leaves out of the nodes it makes.
func relabel(root *html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			n.DataAtom = atom.Lookup([]byte(n.Data))
		}
	}
}

// squeeze drops all white space and what Clean will drop.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || isInvisible(r) {
			return -1
		}
		return r
	}, s)
}
