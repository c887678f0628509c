package text

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// hiding is how a page keeps an element from people's eyes.
type hiding int

const (
	shown  hiding = iota
	unseen        // not drawn, for now or for ever: a menu that opens, a message for machines
	tiny          // in letters of no size; what is inside may have a size of its own
	sly           // drawn where nobody looks, or in the colour of its background
)

// The style declarations by which text is put on a page and kept from people's eyes.
var (
	unseenDeclaration = regexp.MustCompile(`(?i)(?:^|[;{\s])(?:` +
		`display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0*\.?0+%?\s*(?:;|!|$))`)
	tinyDeclaration = regexp.MustCompile(`(?i)(?:^|[;{\s])font-size\s*:\s*0*\.?0+(?:px|pt|em|rem|%)?\s*(?:;|!|$)`)
	slyDeclaration  = regexp.MustCompile(`(?i)(?:^|[;{\s])(?:` +
		`(?:text-indent|left|top|right|margin-left|margin-top)\s*:\s*-(?:9\d\d|\d{4,})|` +
		`clip\s*:\s*rect\(\s*(?:0|1px)|clip-path\s*:\s*inset\(\s*(?:50|100)%)`)
)

func hidingOf(declarations string) hiding {
	switch {
	case unseenDeclaration.MatchString(declarations):
		return unseen
	case slyDeclaration.MatchString(declarations) || hidesByColour(declarations):
		return sly
	case tinyDeclaration.MatchString(declarations):
		return tiny
	}
	return shown
}

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
type hider struct{ classes, ids map[string]hidingRule }

type hidingRule struct {
	tag string // that it is bound to, or ""
	how hiding
}

func newHider(sheets []string) hider {
	h := hider{classes: make(map[string]hidingRule), ids: make(map[string]hidingRule)}
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
			if how := hidingOf(declarations); how != shown {
				h.learn(selectors, how)
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

func (h hider) learn(selectors string, how hiding) {
	for selector := range strings.SplitSeq(selectors, ",") {
		m := simpleRule.FindStringSubmatch(strings.TrimSpace(selector))
		switch {
		case m == nil:
		case m[2] == ".":
			h.classes[m[3]] = hidingRule{strings.ToLower(m[1]), how}
		default:
			h.ids[m[3]] = hidingRule{strings.ToLower(m[1]), how}
		}
	}
}

// hides tells how a person is kept from seeing the element.
func (h hider) hides(n *html.Node) hiding {
	// Pages hide everything until their script has run; that is no hidden message.
	if n.DataAtom == atom.Body || n.DataAtom == atom.Html {
		return shown
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "hidden":
			return unseen
		case "style":
			if how := hidingOf(a.Val); how != shown {
				return how
			}
		case "id":
			if rule, known := h.ids[a.Val]; known && (rule.tag == "" || rule.tag == n.Data) {
				return rule.how
			}
		case "class":
			for class := range strings.FieldsSeq(a.Val) {
				if rule, known := h.classes[class]; known && (rule.tag == "" || rule.tag == n.Data) {
					return rule.how
				}
			}
		}
	}
	if n.DataAtom == atom.Dialog && !hasAttr(n, "open") {
		return unseen
	}
	return shown
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

// dropHidden removes what is never shown and what is hidden, and reports whether anything hidden held text. Where what is
// not drawn is most of the page's text it stays: pages and slide shows hide themselves until their script has run. It
// counts as hidden all the same.
func dropHidden(doc *html.Node, sheets []string) (hidden bool) {
	h := newHider(sheets)
	removeMatches(doc, isNeverShown)
	most := len(textOf(doc)) / 2
	var waiting []*html.Node
	waits := 0                          // bytes of text in them
	inside := make(map[*html.Node]bool) // elements of those
	removeMatches(doc, func(n *html.Node) bool {
		if inside[n.Parent] {
			inside[n] = true
			return false
		}
		how := h.hides(n)
		switch how {
		case shown:
			return false
		case tiny:
			hidden = dropUnsized(n) || hidden
			return false
		}
		text := textOf(n)
		hidden = hidden || strings.TrimSpace(text) != ""
		if how == unseen {
			waiting, waits, inside[n] = append(waiting, n), waits+len(text), true
			return false
		}
		return len(text) <= most
	})
	if waits <= most {
		for _, n := range waiting {
			n.Parent.RemoveChild(n)
		}
	}
	return hidden
}

// dropUnsized removes the text that certainly has the size of n, which is none, and reports whether there was any: layouts
// close the gaps between columns this way, and give each column a size again by its class.
func dropUnsized(n *html.Node) (dropped bool) {
	var next *html.Node
	for c := n.FirstChild; c != nil; c = next {
		next = c.NextSibling
		switch {
		case c.Type == html.TextNode && strings.TrimSpace(c.Data) != "":
			dropped = true
			n.RemoveChild(c)
		case c.Type == html.ElementNode && !hasAttr(c, "class") && !hasAttr(c, "id") && !hasAttr(c, "style"):
			dropped = dropUnsized(c) || dropped
		}
	}
	return dropped
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
