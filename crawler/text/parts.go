package text

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxSelectors = 64
	maxSelector  = 512 // bytes
)

// selection is the caller's choice of parts, compiled.
type selection struct{ include, exclude cascadia.SelectorGroup }

func compileSelection(include, exclude []string) (s selection, err error) {
	if s.include, err = compileSelectors(include); err != nil {
		return s, fmt.Errorf("include tags: %w", err)
	}
	if s.exclude, err = compileSelectors(exclude); err != nil {
		return s, fmt.Errorf("exclude tags: %w", err)
	}
	return s, nil
}

func compileSelectors(selectors []string) (cascadia.SelectorGroup, error) {
	if len(selectors) > maxSelectors {
		return nil, fmt.Errorf("%d selectors, at most %d", len(selectors), maxSelectors)
	}
	var group cascadia.SelectorGroup
	for _, text := range selectors {
		if len(text) > maxSelector {
			return nil, fmt.Errorf("selector of %d bytes, at most %d", len(text), maxSelector)
		}
		parsed, err := cascadia.ParseGroup(text)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", text, err)
		}
		group = append(group, parsed...)
	}
	return group, nil
}

// apply returns the content as the children of one new element. The document is used up.
func (s selection) apply(doc *html.Node, base *url.URL, mainOnly bool) *html.Node {
	removeMatches(doc, s.exclude.Match)
	body := doc
	for n := range doc.Descendants() {
		if n.DataAtom == atom.Body {
			body = n
			break
		}
	}
	if len(s.include) > 0 {
		return gather(body, s.include.Match)
	}
	if mainOnly {
		if article := findArticle(doc, body, base); article != nil {
			return article
		}
		most := len(textOf(body)) / 2
		aboutSite := func(n *html.Node) bool {
			return isBoilerplate(n) && (n.DataAtom != atom.Form || len(textOf(n)) <= most) // some sites are one form
		}
		if speaksOutside(body, aboutSite) { // a page with too much in it is better than none
			removeMatches(body, aboutSite)
		}
		body = declaredMain(body)
	}
	return gather(body, func(n *html.Node) bool { return n.Parent == body })
}

// gather moves the outermost matches below root into a new element.
func gather(root *html.Node, match func(*html.Node) bool) *html.Node {
	into := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	var next *html.Node
	for n := root.FirstChild; n != nil; n = next {
		if !match(n) {
			next = following(n, root)
			continue
		}
		next = after(n, root)
		n.Parent.RemoveChild(n)
		into.AppendChild(n)
	}
	return into
}

func removeMatches(root *html.Node, match func(*html.Node) bool) {
	var next *html.Node
	for n := root.FirstChild; n != nil; n = next {
		if n.Type != html.ElementNode || !match(n) {
			next = following(n, root)
			continue
		}
		next = after(n, root)
		n.Parent.RemoveChild(n)
	}
}

// speaksOutside reports text below root outside of the elements that are to be dropped.
func speaksOutside(root *html.Node, drop func(*html.Node) bool) bool {
	for c := range root.ChildNodes() { // as deep as the parser allows, 512
		if c.Type == html.TextNode && strings.TrimSpace(c.Data) != "" || c.Type == html.ElementNode && !drop(c) && speaksOutside(c, drop) {
			return true
		}
	}
	return false
}

// declaredMain returns the part that the page itself calls its main one, if there is exactly one and
// it says anything.
func declaredMain(body *html.Node) *html.Node {
	for _, isMain := range []func(*html.Node) bool{
		func(n *html.Node) bool { return n.DataAtom == atom.Main || attr(n, "role") == "main" },
		func(n *html.Node) bool { return n.DataAtom == atom.Article },
	} {
		var found []*html.Node
		for n := range body.Descendants() {
			if isMain(n) {
				found = append(found, n)
			}
		}
		if len(found) == 1 && strings.TrimSpace(textOf(found[0])) != "" {
			return found[0]
		}
	}
	return body
}

// isBoilerplate names the parts of a page that are about the site.
func isBoilerplate(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Nav, atom.Footer, atom.Aside, atom.Form, atom.Button:
		return true
	case atom.Header: // an article's own header holds its title
		return n.Parent != nil && n.Parent.DataAtom == atom.Body
	}
	switch attr(n, "role") {
	case "navigation", "banner", "contentinfo", "search", "complementary":
		return true
	}
	return false
}

// keptAttributes are the ones that carry meaning and cannot act.
var keptAttributes = map[string]bool{
	"alt": true, "title": true, "colspan": true, "rowspan": true, "scope": true, "headers": true, "lang": true,
	"dir": true, "datetime": true, "start": true, "value": true, "abbr": true,
}

// following returns the next node of root in document order; after returns it skipping n's insides.
func following(n, root *html.Node) *html.Node {
	if n.FirstChild != nil {
		return n.FirstChild
	}
	return after(n, root)
}

func after(n, root *html.Node) *html.Node {
	for ; n != nil && n != root; n = n.Parent {
		if n.NextSibling != nil {
			return n.NextSibling
		}
	}
	return nil
}

// CheckTags names the first selector that is none.
func CheckTags(include, exclude []string) error {
	_, err := compileSelection(include, exclude)
	return err
}
