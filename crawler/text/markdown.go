package text

import (
	"context"
	"fmt"
	"strings"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// markdownConverter is safe for concurrent use: what a conversion needs it keeps in its context.
var markdownConverter = newMarkdownConverter()

func newMarkdownConverter() *converter.Converter {
	c := converter.NewConverter(converter.WithPlugins(
		base.NewBasePlugin(),
		commonmark.NewCommonmarkPlugin(
			commonmark.WithLinkEmptyHrefBehavior(commonmark.LinkBehaviorSkip), // its address was refused
			commonmark.WithLinkEmptyContentBehavior(commonmark.LinkBehaviorSkip),
		),
		table.NewTablePlugin(
			table.WithNewlineBehavior(table.NewlineBehaviorPreserve),
			table.WithHeaderPromotion(true), // a table without a header has no form in Markdown
			table.WithSkipEmptyRows(true),
			table.WithCellPaddingBehavior(table.CellPaddingBehaviorMinimal), // columns of blanks are paid for by the token
		),
	))
	c.Register.RendererFor("img", converter.TagTypeInline, renderImage, converter.PriorityEarly)
	return c
}

// renderImage writes a link in place of an image: whoever shows the Markdown must not be made to
// call an address that the page chose.
func renderImage(ctx converter.Context, w converter.Writer, n *html.Node) converter.RenderStatus {
	alt, src := Line(attr(n, "alt"), maxMetaText), attr(n, "src")
	if within(n, atom.A) || src == "" { // links do not nest
		fmt.Fprint(w, escapeLabel(alt))
		return converter.RenderSuccess
	}
	if alt == "" {
		alt = "image"
	}
	fmt.Fprintf(w, "[%s](<%s>)", escapeLabel(alt), strings.NewReplacer("<", "%3C", ">", "%3E", "\\", "%5C").Replace(src))
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
	unframe(content)
	out, err := markdownConverter.ConvertNode(content, converter.WithContext(ctx))
	return strings.TrimSpace(string(out)), err
}

// maxCell is in bytes of text: a longer cell is a column of the page, and no datum.
const maxCell = 1000

// unframe makes blocks of the tables that Markdown cannot write, or should not: those that arrange a page, those with code in
// them, and those of one column.
func unframe(content *html.Node) {
	for n := range content.Descendants() {
		if n.DataAtom != atom.Table || isData(n) {
			continue
		}
		n.Data, n.DataAtom = "div", atom.Div
		for d := range n.Descendants() {
			switch d.DataAtom {
			case atom.Caption, atom.Tbody, atom.Thead, atom.Tfoot, atom.Tr, atom.Td, atom.Th:
				if isPartOf(d, n) {
					d.Data, d.DataAtom = "div", atom.Div
				}
			}
		}
	}
}

// isPartOf tells a table's own rows and cells from those of a table inside.
func isPartOf(n, table *html.Node) bool {
	for p := range n.Ancestors() {
		if p == table {
			return true
		}
		if p.DataAtom == atom.Table {
			return false
		}
	}
	return false
}

// isData tells a table of data that Markdown can write.
func isData(t *html.Node) bool {
	if isLayout(t) {
		return false
	}
	widest := 0
	for d := range t.Descendants() {
		switch d.DataAtom {
		case atom.Pre:
			return false
		case atom.Tr:
			cells := 0
			for c := range d.ChildNodes() {
				if c.DataAtom == atom.Td || c.DataAtom == atom.Th {
					cells++
				}
			}
			widest = max(widest, cells)
		case atom.Td, atom.Th:
			if len(textOf(d)) > maxCell {
				return false
			}
		}
	}
	return widest > 1
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
