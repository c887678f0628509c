package text

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// hidingDeclaration matches the style declarations by which text is put on a page and kept from
// people's eyes. `opacity:0` and a zero font count; a colour counts only in hidesByColour.
var hidingDeclaration = regexp.MustCompile(`(?i)(?:^|[;{\s])(?:` +
	`display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0*\.?0+%?\s*(?:;|!|$)|` +
	`font-size\s*:\s*0*\.?0+(?:px|pt|em|rem|%)?\s*(?:;|!|$)|` +
	`(?:text-indent|left|top|right|margin-left|margin-top)\s*:\s*-(?:9\d\d|\d{4,})|` +
	`clip\s*:\s*rect\(\s*(?:0|1px)|clip-path\s*:\s*inset\(\s*(?:50|100)%)`)

var (
	colourOf     = regexp.MustCompile(`(?i)(?:^|;)\s*color\s*:\s*([^;!]+)`)
	backgroundOf = regexp.MustCompile(`(?i)(?:^|;)\s*background(?:-color)?\s*:\s*([^;!]+)`)
	cssComment   = regexp.MustCompile(`(?s)/\*.*?\*/`)
	simpleRule   = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9]*)?([.#])(-?[_a-zA-Z][_a-zA-Z0-9-]*)$`)
)

// maxHidingRules bounds the selectors of one page that hide something.
const maxHidingRules = 2_000

// hider knows which classes and ids the page's own style sheets hide. Only selectors of one class
// or id count, outside of any @media: a compound one speaks of a state we cannot know.
type hider struct{ classes, ids map[string]string } // name to the tag it is bound to, or ""

func newHider(sheets []string) hider {
	h := hider{classes: make(map[string]string), ids: make(map[string]string)}
	for _, sheet := range sheets {
		sheet = cssComment.ReplaceAllString(sheet, "")
		for len(sheet) > 0 && len(h.classes)+len(h.ids) < maxHidingRules {
			selectors, rest, found := strings.Cut(sheet, "{")
			if !found {
				break
			}
			if at := strings.TrimSpace(selectors); strings.HasPrefix(at, "@") {
				if _, behind, ended := strings.Cut(selectors, ";"); ended { // @import and @charset have no block
					sheet = behind + "{" + rest
				} else {
					sheet = afterBlock(rest)
				}
				continue
			}
			var declarations string
			declarations, sheet, _ = strings.Cut(rest, "}")
			if hidingDeclaration.MatchString(declarations) || hidesByColour(declarations) {
				h.learn(selectors)
			}
		}
	}
	return h
}

// afterBlock skips a block whose opening brace was just read.
func afterBlock(sheet string) string {
	depth := 1
	for i := range len(sheet) {
		switch sheet[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return sheet[i+1:]
			}
		}
	}
	return ""
}

func (h hider) learn(selectors string) {
	for selector := range strings.SplitSeq(selectors, ",") {
		m := simpleRule.FindStringSubmatch(strings.TrimSpace(selector))
		switch {
		case m == nil:
		case m[2] == ".":
			h.classes[m[3]] = strings.ToLower(m[1])
		default:
			h.ids[m[3]] = strings.ToLower(m[1])
		}
	}
}

// hides reports that a person would not see the element.
func (h hider) hides(n *html.Node) bool {
	// Pages hide everything until their script has run; that is no hidden message.
	if n.DataAtom == atom.Body || n.DataAtom == atom.Html {
		return false
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "hidden":
			return true
		case "style":
			if hidingDeclaration.MatchString(a.Val) || hidesByColour(a.Val) {
				return true
			}
		case "id":
			if tag, known := h.ids[a.Val]; known && (tag == "" || tag == n.Data) {
				return true
			}
		case "class":
			for class := range strings.FieldsSeq(a.Val) {
				if tag, known := h.classes[class]; known && (tag == "" || tag == n.Data) {
					return true
				}
			}
		}
	}
	return n.DataAtom == atom.Dialog && !hasAttr(n, "open")
}

// hidesByColour sees text in the colour of its own background.
func hidesByColour(style string) bool {
	colour, background := colourOf.FindStringSubmatch(style), backgroundOf.FindStringSubmatch(style)
	if colour == nil {
		return false
	}
	c := normalColour(colour[1])
	return c == "transparent" || background != nil && c == normalColour(background[1])
}

func normalColour(c string) string {
	switch c = strings.ToLower(strings.TrimSpace(c)); c {
	case "white", "#fff", "#ffffff", "rgb(255,255,255)", "rgb(255, 255, 255)":
		return "#ffffff"
	case "black", "#000", "#000000", "rgb(0,0,0)", "rgb(0, 0, 0)":
		return "#000000"
	case "transparent", "rgba(0,0,0,0)", "rgba(0, 0, 0, 0)":
		return "transparent"
	}
	return c
}

// dropHidden removes what is never shown and what is hidden, and reports whether any hidden element
// held text. One that holds most of the page's text stays: pages hide themselves until their script
// has run. It counts as hidden all the same.
func dropHidden(doc *html.Node, sheets []string) (hidden bool) {
	h := newHider(sheets)
	removeMatches(doc, isNeverShown)
	most := len(textOf(doc)) / 2
	removeMatches(doc, func(n *html.Node) bool {
		if !h.hides(n) {
			return false
		}
		text := textOf(n)
		hidden = hidden || strings.TrimSpace(text) != ""
		return len(text) <= most
	})
	return hidden
}

// isNeverShown names elements that hold no text for readers.
func isNeverShown(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Iframe, atom.Object, atom.Embed, atom.Applet,
		atom.Canvas, atom.Svg, atom.Math, atom.Audio, atom.Video, atom.Input, atom.Select, atom.Textarea, atom.Datalist,
		atom.Frame, atom.Frameset, atom.Noframes, atom.Noembed, atom.Link, atom.Meta, atom.Base, atom.Title:
		return true
	}
	return false
}

func hasAttr(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
