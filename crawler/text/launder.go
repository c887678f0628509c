package text

import (
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"sward/crawler/link"
)

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
			n.Data = Clean(n.Data)
			continue
		}
		kept := n.Attr[:0]
		for _, a := range n.Attr {
			switch {
			case n.DataAtom == atom.A && a.Key == "href", n.DataAtom == atom.Img && a.Key == "src":
				if a.Val = safeLink(a.Val, base); a.Val != "" {
					kept = append(kept, a)
				}
			case a.Key == "class" && (n.DataAtom == atom.Pre || n.DataAtom == atom.Code):
				if language := languageOf(n); language != "" {
					kept = append(kept, html.Attribute{Key: "class", Val: "language-" + language})
				}
			case keptAttributes[a.Key]:
				smuggled = smuggled || smuggles(a.Val)
				a.Val = Line(a.Val, maxMetaText)
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
	u, err := url.Parse(strings.TrimSpace(Clean(ref)))
	if err != nil {
		return ""
	}
	if base != nil {
		u = base.ResolveReference(u)
	}
	switch {
	case u.Scheme == "mailto" && len(u.Opaque) <= link.MaxURL:
		return u.String()
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		if s := u.String(); len(s) <= link.MaxURL {
			return s
		}
	}
	return ""
}
