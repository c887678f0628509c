package indexer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestSearchAgreesWithReadingEveryPage compares what is found among random pages, over several
// segments and after removals, with what reading each page finds.
func TestSearchAgreesWithReadingEveryPage(t *testing.T) {
	x := openAt(t, t.TempDir())
	random := rand.New(rand.NewPCG(3, 5))
	vocabulary := strings.Fields("ash birch cedar dogwood elm fir gorse hazel ivy juniper kapok larch")
	word := func() string { return vocabulary[random.IntN(len(vocabulary))] }
	pages := make(map[string][]string) // address to words
	for range 12 {
		var batch []Document
		for range 25 {
			title, text := []string{word()}, []string{word(), word(), word()}
			d := Document{URL: fmt.Sprintf("https://h%d.example/%d", random.IntN(9), random.IntN(200)), Title: title[0], Text: strings.Join(text, " ")}
			batch = append(batch, d)
			pages[d.URL] = append(title, text...)
		}
		put(t, x, batch...)
		for address := range pages {
			if err := x.Delete(t.Context(), address); err != nil {
				t.Fatal(err)
			}
			delete(pages, address)
			break
		}
	}
	for range 200 {
		query := make([]string, 1+random.IntN(4))
		for n := range query {
			query[n] = word()
		}
		var want []string
		for _, all := range []bool{true, false} {
			for address, words := range pages {
				has := func(w string) bool { return slices.Contains(words, w) }
				if all && !slices.ContainsFunc(query, func(w string) bool { return !has(w) }) || !all && slices.ContainsFunc(query, has) {
					want = append(want, address)
				}
			}
			if want != nil {
				break
			}
		}
		r, err := x.Search(t.Context(), Query{Text: strings.Join(query, " "), Limit: MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for n, h := range r.Hits {
			got = append(got, h.URL)
			if n > 0 && h.Score > r.Hits[n-1].Score {
				t.Errorf("%v: hit %d scores %g after %g", query, n, h.Score, r.Hits[n-1].Score)
			}
		}
		if r.Total != len(want) {
			t.Errorf("%v: total %d, want %d", query, r.Total, len(want))
		}
		slices.Sort(got)
		slices.Sort(want)
		if len(want) <= MaxLimit && !slices.Equal(got, want) {
			t.Errorf("%v: got %v\nwant %v", query, got, want)
		}
	}
}

func TestRankingPrefers(t *testing.T) {
	filler := func(n int) string { return strings.Repeat("filling ", n) }
	for _, c := range []struct{ name, query, better, worse string }{
		{"more of the word", "clover", "clover clover clover " + filler(20), "clover " + filler(22)},
		{"the shorter page", "clover", "clover " + filler(5), "clover " + filler(200)},
		{"both words over one often", "clover moss", "clover moss " + filler(20), strings.Repeat("clover ", 8) + filler(14)},
		{"the rarer word", "clover common fern heath bracken gorse", "clover " + filler(10), "common " + filler(10)}, // a sentence: any word
	} {
		x, err := Open(Config{Dir: t.TempDir(), Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		put(t, x, Document{URL: "https://a.example/worse", Text: c.worse}, Document{URL: "https://b.example/better", Text: c.better})
		for n := range 10 {
			put(t, x, Document{URL: fmt.Sprintf("https://c.example/%d", n), Text: "common " + filler(20)})
		}
		got := found(t, x, c.query)
		better, worse := slices.Index(got, "https://b.example/better"), slices.Index(got, "https://a.example/worse")
		if better != 0 || worse < 0 && c.name != "both words over one often" {
			t.Errorf("%s: got %v", c.name, got)
		}
		x.Close()
	}
}

func TestSentenceFindsPagesWithSomeOfItsWords(t *testing.T) {
	x := openAt(t, t.TempDir())
	put(t, x, garden...)
	r, err := x.Search(t.Context(), Query{Text: "Where do the wild bees of Europe build their nests in winter and spring?"})
	if err != nil || len(r.Hits) == 0 || r.Hits[0].URL != "https://meadow.example/bees" || !r.Loose {
		t.Errorf("got %+v, %v, want the page about bees first, and loose", r, err)
	}
}

func TestWordCountFollowsTheAnalysis(t *testing.T) {
	for _, text := range []string{
		"", "...", "grass", "The green surface of a lawn, and nothing else.", "don't stop", "Gräser und Kräuter", "草地の上", "state-of-the-art 3.5 m",
		strings.Repeat("x", 3000),
	} {
		got, want := wordCount(text), len(analyse(prose, text))
		if got < want-1 || got > want+2 {
			t.Errorf("%.40q: counted %d, analysis has %d", text, got, want)
		}
	}
}
