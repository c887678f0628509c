package crawler

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sward/crawler/text"
)

func TestSummaryIsThePagesOwnWords(t *testing.T) {
	long := strings.Repeat("A sentence of nine words stands here for length. ", 40)
	for name, test := range map[string]struct {
		content text.Content
		want    string
	}{
		"description":       {text.Content{Description: "What the page says of itself, in a line of its head.", Plain: long}, "What the page says of itself, in a line of its head."},
		"slogan":            {text.Content{Description: "Welcome", Title: "Home", Plain: "Home\nThe text\nof the page."}, "The text of the page."},
		"whole sentences":   {text.Content{Plain: long}, strings.TrimSpace(strings.Repeat("A sentence of nine words stands here for length. ", 12))},
		"no sentences":      {text.Content{Plain: strings.Repeat("word ", 300)}, strings.TrimSpace(strings.Repeat("word ", 119)) + " word…"},
		"nothing":           {text.Content{Title: "Home"}, ""},
		"without any space": {text.Content{Plain: strings.Repeat("語", 400)}, strings.Repeat("語", 200) + "…"},
	} {
		if got := summary(test.content); got != test.want || !utf8.ValidString(got) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
