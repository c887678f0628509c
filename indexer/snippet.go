package indexer

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/bleve/v2/analysis"
)

const (
	snippetSearch = 64 << 10 // bytes of a page in which the best place is sought
	snippetLength = 240      // bytes of text shown, before markup; about two lines
	snippetLead   = 60       // of them before the first word found
)

// snippet returns the stretch of a page that has most of the query's words, as HTML. Matching runs
// through the analysis that indexed the page, so that what was found is also what is marked.
func snippet(text string, terms queryTerms) string {
	text = strings.ToValidUTF8(text[:min(len(text), snippetSearch)], "")
	var matches []*analysis.Token
	for _, token := range analyse(titles, text) {
		if terms.find(string(token.Term)) >= 0 {
			matches = append(matches, token)
		}
	}
	start := 0
	if len(matches) > 0 {
		start = max(0, matches[bestWindow(matches)].Start-snippetLead)
	}
	start, end := wordEdges(text, start, start+snippetLength)
	return mark(text, start, end, matches)
}

// bestWindow returns the match at which the window with most different words begins, more matches
// deciding between equals, and the earlier one after that.
func bestWindow(matches []*analysis.Token) int {
	const span = snippetLength - snippetLead
	best, bestScore := 0, 0
	counts := make(map[string]int)
	last := 0 // first match behind the window
	for first := range matches {
		for last < len(matches) && matches[last].End <= matches[first].Start+span {
			counts[string(matches[last].Term)]++
			last++
		}
		if score := len(counts)*1000 + min(last-first, 999); score > bestScore {
			best, bestScore = first, score
		}
		if last <= first { // a single word longer than the window
			last = first + 1
			continue
		}
		if term := string(matches[first].Term); counts[term] > 1 {
			counts[term]--
		} else {
			delete(counts, term)
		}
	}
	return best
}

// wordEdges moves a window so that it neither starts nor ends inside a word, where words are of
// ordinary length, and never inside a character.
func wordEdges(text string, start, end int) (int, int) {
	const reach = 32 // bytes to the next space; scripts without spaces are cut where they are
	end = min(end, len(text))
	if start > 0 {
		if i := strings.IndexFunc(text[start:min(start+reach, end)], unicode.IsSpace); i >= 0 {
			start += i
		}
	}
	if end < len(text) {
		from := max(start, end-reach)
		if i := strings.LastIndexFunc(text[from:end], unicode.IsSpace); i > 0 {
			end = from + i
		}
	}
	for start < end && !utf8.RuneStart(text[start]) {
		start++
	}
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	return start, end
}

func mark(text string, start, end int, matches []*analysis.Token) string {
	var out strings.Builder
	if start > 0 {
		out.WriteString("… ")
	}
	at := start
	for _, m := range matches {
		if m.Start < at || m.End > end {
			continue
		}
		out.WriteString(escapeText(text[at:m.Start]))
		out.WriteString("<mark>" + escapeText(text[m.Start:m.End]) + "</mark>")
		at = m.End
	}
	out.WriteString(escapeText(text[at:end]))
	if end < len(text) {
		out.WriteString(" …")
	}
	return strings.TrimSpace(strings.Join(strings.Fields(out.String()), " "))
}

// escapeText makes text inert in HTML and drops control characters.
func escapeText(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	return html.EscapeString(s)
}
