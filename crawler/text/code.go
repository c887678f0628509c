package text

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxLanguage   = 32 // bytes of the name of a programming language
	codeAncestors = 3  // elements around a block of code that are asked for its language
)

// tidyCode gives every block of code the language that its page names anywhere about it, as a class that the converter
// reads, and drops what belongs to its presentation: line numbers, and the signs that link to a heading.
func tidyCode(doc *html.Node) {
	removeMatches(doc, func(n *html.Node) bool { return isLineNumber(n) || isPermalink(n) })
	for n := range doc.Descendants() {
		if n.DataAtom != atom.Pre {
			continue
		}
		if language := codeLanguage(n); language != "" {
			n.Attr = append(removeAttr(n.Attr, "class"), html.Attribute{Key: "class", Val: "language-" + language})
		}
	}
}

// codeLanguage asks the block, the code inside, and what is closest around it.
func codeLanguage(pre *html.Node) string {
	for c := range pre.ChildNodes() {
		if c.DataAtom == atom.Code {
			if language := languageOf(c); language != "" {
				return language
			}
		}
	}
	n := pre
	for range codeAncestors + 1 {
		if n == nil || n.DataAtom == atom.Body {
			return ""
		}
		if language := languageOf(n); language != "" {
			return language
		}
		n = n.Parent
	}
	return ""
}

// languageOf reads the forms in use: HTML's own language-x, Sphinx's highlight-x, GitHub's highlight-source-x,
// SyntaxHighlighter's "brush: x", and attributes.
func languageOf(n *html.Node) string {
	for _, name := range []string{"data-lang", "data-language"} {
		if language := languageName(attr(n, name)); language != "" {
			return language
		}
	}
	words := strings.Fields(attr(n, "class"))
	for i, word := range words {
		for _, prefix := range []string{"language-", "lang-", "highlight-source-", "highlight-text-", "highlight-"} {
			if name, found := strings.CutPrefix(word, prefix); found {
				if language := languageName(name); language != "" {
					return language
				}
			}
		}
		if word == "brush:" && i+1 < len(words) {
			return languageName(strings.TrimSuffix(words[i+1], ";"))
		}
	}
	return ""
}

// languageName refuses what would not stand in a fence as one word, and the words that name no language.
func languageName(s string) string {
	s = strings.ToLower(s)
	if len(s) > maxLanguage || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+#.-_") != "" {
		return ""
	}
	switch s {
	case "default", "none", "notranslate", "nohighlight", "code":
		return ""
	}
	return s
}

func isLineNumber(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Td, atom.Span, atom.Div, atom.Pre, atom.A:
	default:
		return false
	}
	for word := range strings.FieldsSeq(attr(n, "class")) {
		switch word {
		case "linenos", "lineno", "linenodiv", "line-numbers-rows", "gutter", "hljs-ln-numbers", "blob-num":
			return strings.Trim(textOf(n), "0123456789 \n\t\u00a0") == "" // "gutter" is what some call a margin
		}
	}
	return false
}

// isPermalink tells the sign behind a heading that links to it.
func isPermalink(n *html.Node) bool {
	if n.DataAtom != atom.A || !strings.Contains(attr(n, "href"), "#") {
		return false
	}
	switch strings.TrimSpace(textOf(n)) {
	case "¶", "#", "§", "🔗", "\uf0c1": // the last is Font Awesome's chain
		return true
	}
	return false
}

func removeAttr(list []html.Attribute, name string) []html.Attribute {
	kept := list[:0]
	for _, a := range list {
		if a.Key != name {
			kept = append(kept, a)
		}
	}
	return kept
}
