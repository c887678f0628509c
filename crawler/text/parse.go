package text

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds of one tag. An inlined image is the usual reason for a longer one.
const (
	maxTag       = 4 << 10 // bytes of a tag that is passed on unexamined
	maxAttribute = 2 << 10 // bytes of an attribute's value
	maxSheets    = 256 << 10
)

// parseDocument builds the tree of at most limit nodes, and returns the text of the page's style
// sheets beside it. A page nested deeper than the parser allows (512) is read as a flat list of
// texts and links instead.
func parseDocument(source string, limit int) (*html.Node, []string, error) {
	reduced, sheets := reduceDocument(source, limit)
	doc, err := html.Parse(strings.NewReader(reduced))
	if err != nil {
		doc, err = html.Parse(strings.NewReader(flattenDocument(reduced)))
	}
	return doc, sheets, err
}

// reduceDocument copies a page without comments, scripts and the insides of frames, without
// outsized attributes, and only as far as limit. It runs before the parser because a tree costs up
// to a hundred times the bytes of its page.
func reduceDocument(source string, limit int) (string, []string) {
	var out strings.Builder
	var sheets []string
	sheetBytes := 0
	z := html.NewTokenizer(strings.NewReader(source))
	var within atom.Atom // the raw text element whose text comes next
	for range limit {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		raw := z.Raw()
		switch kind {
		case html.TextToken:
			switch {
			case within == 0:
				out.Write(raw)
			case within == atom.Style && sheetBytes+len(raw) <= maxSheets:
				sheets = append(sheets, string(raw))
				sheetBytes += len(raw)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			raw = []byte(string(raw)) // TagName and TagAttr change the buffer
			name, more := z.TagName()
			tag := atom.Lookup(name)
			within = 0
			if isUnread(tag) {
				if tag == atom.Script && linkedData(raw) {
					out.Write(raw)
					continue
				}
				within = tag
				continue
			}
			if len(raw) <= maxTag {
				out.Write(raw)
				continue
			}
			writeTag(&out, z, string(name), more)
		case html.EndTagToken:
			within = 0
			name, _ := z.TagName()
			if tag := atom.Lookup(name); !isUnread(tag) || tag == atom.Script {
				out.WriteString("</" + string(name) + ">")
			}
		case html.DoctypeToken:
			out.Write(raw)
		}
	}
	return out.String(), sheets
}

// isUnread names the elements whose insides the tokenizer gives as one text that no reader sees.
func isUnread(tag atom.Atom) bool {
	switch tag {
	case atom.Script, atom.Style, atom.Noscript, atom.Iframe, atom.Noembed, atom.Noframes:
		return true
	}
	return false
}

// linkedData keeps the one kind of script that is data: schema.org facts.
func linkedData(tag []byte) bool {
	return bytes.Contains(bytes.ToLower(tag), []byte("application/ld+json"))
}

func writeTag(out *strings.Builder, z *html.Tokenizer, name string, more bool) {
	token := html.Token{Type: html.StartTagToken, Data: name, DataAtom: atom.Lookup([]byte(name))}
	for more {
		var key, value []byte
		if key, value, more = z.TagAttr(); len(key) <= 64 && len(value) <= maxAttribute && len(token.Attr) < 64 {
			token.Attr = append(token.Attr, html.Attribute{Key: string(key), Val: string(value)})
		}
	}
	out.WriteString(token.String())
}

// flattenDocument keeps texts, links and the head's facts, and no nesting at all.
func flattenDocument(source string) string {
	var out strings.Builder
	z := html.NewTokenizer(strings.NewReader(source))
	var inside string // the one element that is open
	closeOpen := func() {
		if inside != "" {
			out.WriteString("</" + inside + ">")
		}
		inside = ""
	}
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			closeOpen()
			return out.String()
		case html.TextToken:
			if text := z.Raw(); len(bytes.TrimSpace(text)) > 0 {
				out.Write(text)
				if inside == "" {
					out.WriteString("<br>")
				}
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			switch token.DataAtom {
			case atom.Meta, atom.Link, atom.Base, atom.Html, atom.Body:
				closeOpen()
				out.WriteString(token.String())
			case atom.Title, atom.A, atom.H1, atom.H2, atom.H3:
				closeOpen()
				out.WriteString(token.String())
				inside = token.Data
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == inside {
				closeOpen()
			}
		}
	}
}
