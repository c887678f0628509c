package indexer

import (
	"strings"
	"sync"
	"unicode"

	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/lang/en"
)

// stopWords are the words that bodies leave out.
var stopWords = sync.OnceValue(func() analysis.TokenMap {
	list := analysis.NewTokenMap()
	if err := list.LoadBytes(en.EnglishStopWords); err != nil {
		panic("indexer: the list of stop words is constant and valid: " + err.Error())
	}
	return list
})

// wordCount tells about how many terms a text becomes, at a hundredth of the cost of analysing it:
// words of letters and digits without stop words, and each sign of scripts without spaces. Ranking
// needs the average of it.
func wordCount(text string) (n int) {
	start := -1 // of the word, -1 between words
	end := func(at int) {
		if start >= 0 && !stopWords()[strings.ToLower(text[start:min(at, start+maxWord)])] {
			n++
		}
		start = -1
	}
	for at, r := range text {
		switch {
		case r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			end(at)
			n++
		case r == '\'' || r == '’' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			if start < 0 {
				start = at
			}
		default:
			end(at)
		}
	}
	end(len(text))
	return n
}

// average is a running mean of the lengths of pages.
type average struct {
	mu    sync.Mutex
	words float64
	pages float64
}

// add counts pages of so many words together. A page that is put again is counted again, which
// leaves the mean what it was.
func (a *average) add(words, pages float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.words += words
	a.pages += pages
}

// mean is never below one word, so that it can be divided by.
func (a *average) mean() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.words < a.pages || a.pages == 0 {
		return 1
	}
	return a.words / a.pages
}
