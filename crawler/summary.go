package crawler

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sward/crawler/text"
)

const (
	minSummary = 40  // bytes: a shorter description is a name or a slogan
	maxSummary = 600 // bytes: three or four sentences
)

// summary is what a page says that it is about: its own description, or how its text begins. Nothing is made up.
func summary(t text.Content) string {
	if len(t.Description) >= minSummary {
		return t.Description
	}
	plain := strings.Join(strings.Fields(t.Plain), " ")
	if title := strings.Join(strings.Fields(t.Title), " "); title != "" {
		plain = strings.TrimSpace(strings.TrimPrefix(plain, title)) // the heading, mostly, which the title is already
	}
	if len(plain) <= maxSummary {
		return plain
	}
	cut := plain[:maxSummary]
	for !utf8.ValidString(cut) {
		cut = cut[:len(cut)-1]
	}
	if end := strings.LastIndexFunc(cut[:len(cut)-1], func(r rune) bool { return strings.ContainsRune(".!?。！？", r) }); end > minSummary {
		_, size := utf8.DecodeRuneInString(cut[end:])
		return cut[:end+size]
	}
	if end := strings.LastIndexFunc(cut, unicode.IsSpace); end > minSummary {
		cut = cut[:end]
	}
	return cut + "…"
}
