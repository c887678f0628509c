package crawler

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
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
		removeMatches(body, isBoilerplate)
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

// keptElements are the ones that give text its form. Any other becomes one without a meaning of its
// own, so that nothing unforeseen is ever written.
var keptElements = atomSet(
	atom.A, atom.Abbr, atom.Article, atom.Aside, atom.B, atom.Blockquote, atom.Br, atom.Caption, atom.Cite, atom.Code, atom.Col,
	atom.Colgroup, atom.Dd, atom.Del, atom.Details, atom.Dfn, atom.Div, atom.Dl, atom.Dt, atom.Em, atom.Figcaption, atom.Figure,
	atom.Footer, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.I, atom.Img, atom.Ins, atom.Kbd,
	atom.Li, atom.Main, atom.Mark, atom.Nav, atom.Ol, atom.P, atom.Pre, atom.Q, atom.Rp, atom.Rt, atom.Ruby, atom.S, atom.Samp,
	atom.Section, atom.Small, atom.Span, atom.Strong, atom.Sub, atom.Summary, atom.Sup, atom.Table, atom.Tbody, atom.Td, atom.Tfoot,
	atom.Th, atom.Thead, atom.Time, atom.Tr, atom.U, atom.Ul, atom.Var, atom.Wbr,
)

// blockElements are the other ones that stand on lines of their own, by what they become.
var blockElements = map[atom.Atom]atom.Atom{
	atom.Address: atom.Div, atom.Center: atom.Div, atom.Dialog: atom.Div, atom.Fieldset: atom.Div, atom.Form: atom.Div,
	atom.Hgroup: atom.Div, atom.Legend: atom.Div, atom.Body: atom.Div, atom.Menu: atom.Ul, atom.Dir: atom.Ul,
	atom.Xmp: atom.Pre, atom.Plaintext: atom.Pre, atom.Listing: atom.Pre,
}

func atomSet(list ...atom.Atom) map[atom.Atom]bool {
	set := make(map[atom.Atom]bool, len(list))
	for _, a := range list {
		set[a] = true
	}
	return set
}

// launder makes content harmless in place: only known elements and attributes, absolute links of
// known schemes, clean text. It reports text that was written in characters nobody sees.
func launder(content *html.Node, base *url.URL) (smuggled bool) {
	for n := range content.Descendants() {
		if n.Type == html.ElementNode && !keptElements[n.DataAtom] {
			into, block := blockElements[n.DataAtom]
			if !block {
				into = atom.Span
			}
			n.DataAtom, n.Data, n.Namespace = into, into.String(), ""
		}
		if n.Type == html.TextNode {
			smuggled = smuggled || smuggles(n.Data)
			n.Data = cleanText(n.Data)
			continue
		}
		kept := n.Attr[:0]
		for _, a := range n.Attr {
			switch {
			case n.DataAtom == atom.A && a.Key == "href", n.DataAtom == atom.Img && a.Key == "src":
				if a.Val = safeLink(a.Val, base); a.Val != "" {
					kept = append(kept, a)
				}
			case keptAttributes[a.Key]:
				smuggled = smuggled || smuggles(a.Val)
				a.Val = oneLine(a.Val, maxMetaText)
				kept = append(kept, a)
			}
		}
		n.Attr = kept
	}
	dropEmpty(content)
	return smuggled
}

// dropEmpty removes the elements that hold neither text nor picture, innermost first, so that what
// held only them goes too.
func dropEmpty(n *html.Node) (empty bool) {
	empty = true
	var next *html.Node
	for c := n.FirstChild; c != nil; c = next {
		next = c.NextSibling
		switch c.DataAtom {
		case atom.Img:
			empty = false
		case atom.Br, atom.Hr, atom.Col, atom.Colgroup, atom.Wbr:
		case atom.Td, atom.Th: // an empty cell keeps the others in their columns
			empty = dropEmpty(c) && empty
		default:
			if c.Type == html.TextNode {
				empty = empty && strings.TrimSpace(c.Data) == ""
			} else if dropEmpty(c) {
				n.RemoveChild(c)
			} else {
				empty = false
			}
		}
	}
	return empty
}

// safeLink resolves a reference and refuses the schemes that act: javascript:, data:, vbscript:.
func safeLink(ref string, base *url.URL) string {
	u, err := url.Parse(strings.TrimSpace(cleanText(ref)))
	if err != nil {
		return ""
	}
	if base != nil {
		u = base.ResolveReference(u)
	}
	switch {
	case u.Scheme == "mailto" && len(u.Opaque) <= MaxURL:
		return u.String()
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		if s := u.String(); len(s) <= MaxURL {
			return s
		}
	}
	return ""
}

// markdownConverter is safe for concurrent use: what a conversion needs it keeps in its context.
var markdownConverter = newMarkdownConverter()

func newMarkdownConverter() *converter.Converter {
	c := converter.NewConverter(converter.WithPlugins(
		base.NewBasePlugin(),
		commonmark.NewCommonmarkPlugin(
			commonmark.WithLinkEmptyHrefBehavior(commonmark.LinkBehaviorSkip), // its address was refused
			commonmark.WithLinkEmptyContentBehavior(commonmark.LinkBehaviorSkip),
		),
		table.NewTablePlugin(),
	))
	c.Register.RendererFor("img", converter.TagTypeInline, renderImage, converter.PriorityEarly)
	return c
}

// renderImage writes a link in place of an image: whoever shows the Markdown must not be made to
// call an address that the page chose.
func renderImage(ctx converter.Context, w converter.Writer, n *html.Node) converter.RenderStatus {
	alt, src := oneLine(attr(n, "alt"), maxMetaText), attr(n, "src")
	if within(n, atom.A) || src == "" { // links do not nest
		w.WriteString(escapeLabel(alt))
		return converter.RenderSuccess
	}
	if alt == "" {
		alt = "image"
	}
	w.WriteString("[" + escapeLabel(alt) + "](<" + strings.NewReplacer("<", "%3C", ">", "%3E", "\\", "%5C").Replace(src) + ">)")
	return converter.RenderSuccess
}

func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `<`, `\<`, "`", "\\`", `*`, `\*`, `_`, `\_`, `!`, `\!`, `&`, `\&`).Replace(s)
}

func within(n *html.Node, tag atom.Atom) bool {
	for p := range n.Ancestors() {
		if p.DataAtom == tag {
			return true
		}
	}
	return false
}

// toMarkdown converts content, which is used up.
func toMarkdown(ctx context.Context, content *html.Node) (string, error) {
	out, err := markdownConverter.ConvertNode(content, converter.WithContext(ctx))
	return strings.TrimSpace(string(out)), err
}

func renderChildren(content *html.Node) (string, error) {
	var out strings.Builder
	for n := range content.ChildNodes() {
		if err := html.Render(&out, n); err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(out.String()), nil
}

// plainText returns the text of content with a line for each block.
func plainText(content *html.Node) string {
	var lines []string
	var line strings.Builder
	end := func() {
		if text := strings.Join(strings.Fields(line.String()), " "); text != "" {
			lines = append(lines, text)
		}
		line.Reset()
	}
	var walk func(*html.Node) // as deep as the parser allows, 512
	walk = func(n *html.Node) {
		for c := range n.ChildNodes() {
			switch {
			case c.Type == html.TextNode:
				line.WriteString(c.Data)
			case c.DataAtom == atom.Pre:
				end()
				lines = append(lines, strings.Trim(textOf(c), "\n"))
			case isBlock(c):
				end()
				walk(c)
				end()
			default:
				walk(c)
			}
		}
	}
	walk(content)
	end()
	return strings.Join(lines, "\n")
}

func isBlock(n *html.Node) bool {
	switch n.DataAtom {
	case atom.P, atom.Div, atom.Section, atom.Article, atom.Main, atom.Header, atom.Footer, atom.Aside, atom.Nav, atom.Br, atom.Hr,
		atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Li, atom.Dl, atom.Dt, atom.Dd,
		atom.Table, atom.Tr, atom.Td, atom.Th, atom.Caption, atom.Pre, atom.Blockquote, atom.Figure, atom.Figcaption, atom.Details, atom.Summary:
		return true
	}
	return false
}

// textOf returns all text below a node.
func textOf(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
		}
	}
	return out.String()
}
