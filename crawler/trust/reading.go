package trust

import (
	"hash/maphash"
	"mime"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"sward/crawler/text"
)

// maxWords bounds a reading: a book has 100,000. What stands behind them is not compared.
const maxWords = 400_000

// Reading is a page as a sequence of words: those that people see, and those that programs follow (links, sources,
// scripts, what hides a paragraph). Times and dates are alike in all readings, because they move on between two of them.
type Reading struct {
	Status   int
	words    []uint64
	numbered []uint64 // the same with all numbers alike
	hosts    []mention
}

// mention is the host of an address at a word.
type mention struct {
	at   int
	host uint64
}

// mentions lists the hosts in words from and up to.
func (r Reading) mentions(from, to int) []mention {
	before := func(m mention, at int) int { return m.at - at }
	i, _ := slices.BinarySearchFunc(r.hosts, from, before)
	j, _ := slices.BinarySearchFunc(r.hosts, to, before)
	return r.hosts[i:j]
}

func (r Reading) knows(host uint64) bool {
	return slices.ContainsFunc(r.hosts, func(m mention) bool { return m.host == host })
}

var seed = maphash.MakeSeed()

// Read reads the body of an answer. Bodies that are not HTML are words from end to end.
func Read(status int, contentType string, body []byte) Reading {
	r := Reading{Status: status}
	kind, _, _ := mime.ParseMediaType(contentType)
	source := text.Source(body, contentType)
	if source == "" && len(body) > 0 {
		r.add(string(body)) // no text: one long word
	} else if kind == "" || strings.Contains(kind, "html") {
		r.markup(source)
	} else {
		r.prose(source)
	}
	return r
}

// told are the attributes that change what is read, shown or run. Others (class, id, nonces, the values of hidden
// fields) change with each answer of many sites and say nothing.
var told = []string{"href", "src", "srcset", "action", "data", "content", "poster", "alt", "title", "style", "hidden"}

func (r *Reading) markup(source string) {
	z := html.NewTokenizer(strings.NewReader(source))
	for len(r.words) < maxWords {
		switch z.Next() {
		case html.ErrorToken:
			return // also of a tokenizer's own limits: what was read until there is compared
		case html.TextToken:
			r.prose(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.DataAtom == atom.Script || t.DataAtom == atom.Iframe {
				r.add("<" + t.Data)
			}
			for _, a := range t.Attr {
				if slices.Contains(told, a.Key) || strings.HasPrefix(a.Key, "on") {
					r.add(a.Key + "=")
					r.mention(t.Data, a.Val)
					r.prose(a.Val)
				}
			}
		}
	}
}

// mention notes to whom an address leads, and by what kind of element: a link to a host is not yet its script.
func (r *Reading) mention(element, address string) {
	if u, err := url.Parse(strings.TrimSpace(address)); err == nil && u.Host != "" {
		r.hosts = append(r.hosts, mention{len(r.words), maphash.String(seed, element+" "+u.Host)})
	}
}

// prose adds the words of s, its dates and times as such.
func (r *Reading) prose(s string) {
	words := strings.Fields(s)
	for i, w := range words {
		if len(r.words) >= maxWords {
			return
		}
		if moment(words, i) {
			w = "\x00time"
		}
		r.add(w)
	}
}

func (r *Reading) add(word string) {
	h := maphash.String(seed, word)
	r.words = append(r.words, h)
	if plain := withoutDigits(word); plain != word {
		h = maphash.String(seed, plain)
	}
	r.numbered = append(r.numbered, h)
}

func withoutDigits(w string) string {
	if !strings.ContainsAny(w, "0123456789") {
		return w
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c >= '0' && c <= '9', c == '.', c == ',': // 1,000 grows to 999 as well
			return -1
		}
		return c
	}, w) + "\x00number"
}
