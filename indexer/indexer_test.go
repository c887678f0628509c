package indexer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// openAt opens an index with two shards and closes it with the test.
func openAt(t testing.TB, dir string) *Index {
	t.Helper()
	x, err := Open(Config{Dir: dir, Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func put(t testing.TB, x *Index, documents ...Document) {
	t.Helper()
	if err := x.Put(t.Context(), documents...); err != nil {
		t.Fatal(err)
	}
}

// found returns the addresses that a search gives, best first.
func found(t testing.TB, x *Index, text string) []string {
	t.Helper()
	r, err := x.Search(t.Context(), Query{Text: text, Limit: MaxLimit})
	if err != nil {
		t.Fatalf("search %q: %v", text, err)
	}
	var urls []string
	for _, h := range r.Hits {
		urls = append(urls, h.URL)
	}
	return urls
}

var garden = []Document{
	{URL: "https://meadow.example/grass", Title: "Grasses of the meadow", Text: "The sward is the green surface of a lawn. Grass grows slowly in spring.", Language: "en"},
	{URL: "https://meadow.example/bees", Title: "Bees", Headings: []string{"Where bees live"}, Text: "Wild bees nest in the ground below a flowering meadow.", Language: "en"},
	{URL: "https://town.example/band", Title: "The Who", Text: "A band that played loud music.", Language: "en"},
	{URL: "https://town.example/mowing", Title: "Mowing", Text: "Mow the lawns of the town twice a year. A lawn that is mown seldom becomes a meadow of grasses.", Language: "en"},
	{URL: "https://wiese.example/gräser", Title: "Gräser", Text: "Die Wiese ist grün, und ＦＵＬＬ width letters are folded.", Language: "de"},
}

func TestSearchFindsPagesByTheirWords(t *testing.T) {
	x := openAt(t, t.TempDir())
	put(t, x, garden...)
	for _, c := range []struct {
		query string
		want  []string
		loose bool
	}{
		{"sward", []string{"https://meadow.example/grass"}, false},
		{"lawn", []string{"https://town.example/mowing", "https://meadow.example/grass"}, false},
		{"LAWNS grass", []string{"https://meadow.example/grass", "https://town.example/mowing"}, false}, // stems, case, all words
		{"bees live", []string{"https://meadow.example/bees"}, false},                                   // a word only in a heading
		{"the who", []string{"https://town.example/band"}, false},                                       // nothing but stop words
		{"gräser", []string{"https://wiese.example/gräser"}, false},
		{"gra\u0308ser", []string{"https://wiese.example/gräser"}, false}, // decomposed
		{"full", []string{"https://wiese.example/gräser"}, false},
		{"sward music", []string{"https://meadow.example/grass", "https://town.example/band"}, true},
		{"unheard", nil, false},
		{"host:meadow.example", nil, false}, // no field can be named
		{"me*", nil, false},                 // no wildcard, no fuzziness, no expression
		{"bees~2", nil, true},
		{"/.*/ meadow", []string{"https://meadow.example/bees", "https://meadow.example/grass", "https://town.example/mowing"}, false},
	} {
		r, err := x.Search(t.Context(), Query{Text: c.query})
		if err != nil {
			t.Errorf("search %q: %v", c.query, err)
			continue
		}
		var got []string
		for _, h := range r.Hits {
			got = append(got, h.URL)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if c.query == "bees~2" { // the number is a word of its own
			c.want = []string{"https://meadow.example/bees"}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("search %q (-want +got):\n%s", c.query, diff)
		}
		if r.Loose != c.loose && c.want != nil {
			t.Errorf("search %q: loose %v, want %v", c.query, r.Loose, c.loose)
		}
	}
}

func TestTitleOutranksText(t *testing.T) {
	x := openAt(t, t.TempDir())
	filler := strings.Repeat("something else entirely ", 20)
	put(t, x,
		Document{URL: "https://a.example/text", Title: "Other", Text: "clover " + filler},
		Document{URL: "https://a.example/title", Title: "Clover", Text: filler},
	)
	if got := found(t, x, "clover"); len(got) != 2 || got[0] != "https://a.example/title" {
		t.Errorf("got %v, want the page with the word in its title first", got)
	}
}

func TestHitNamesItsProvenance(t *testing.T) {
	x := openAt(t, t.TempDir())
	at := time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC)
	put(t, x, Document{URL: "https://a.example/", Title: "Home", Text: "A sward", Language: "en", Fetched: at, Edge: "12D3KooWedge", Hash: "ab12"})
	r, err := x.Search(t.Context(), Query{Text: "sward"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Hit{{URL: "https://a.example/", Title: "Home", Snippet: "A <mark>sward</mark>", Language: "en", Fetched: at, Edge: "12D3KooWedge", Hash: "ab12"}}
	if len(r.Hits) == 1 {
		want[0].Score = r.Hits[0].Score
	}
	if diff := cmp.Diff(want, r.Hits); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
}

func TestPutReplacesAndNeverDuplicates(t *testing.T) {
	x := openAt(t, t.TempDir())
	const address = "https://a.example/page"
	put(t, x, Document{URL: address, Text: "first edition"}, Document{URL: address, Text: "second edition"})
	put(t, x, Document{URL: address, Text: "third edition"})
	if got := found(t, x, "edition"); !slices.Equal(got, []string{address}) {
		t.Errorf("got %v, want the page once", got)
	}
	for _, gone := range []string{"first", "second"} {
		if got := found(t, x, gone); got != nil {
			t.Errorf("search %q: got %v, want nothing", gone, got)
		}
	}
	if n, err := x.Count(); n != 1 || err != nil {
		t.Errorf("count: got %d, %v, want 1", n, err)
	}
}

func TestDeletedPageIsGoneAndMayComeBack(t *testing.T) {
	dir := t.TempDir()
	x := openAt(t, dir)
	put(t, x, garden...)
	if err := x.Delete(t.Context(), garden[0].URL); err != nil {
		t.Fatal(err)
	}
	if err := x.Delete(t.Context(), "https://a.example/never-there"); err != nil {
		t.Errorf("delete of a page that is not there: %v", err)
	}
	if got := found(t, x, "sward"); got != nil {
		t.Errorf("after delete: got %v", got)
	}
	x.Close()
	x = openAt(t, dir)
	if got := found(t, x, "sward"); got != nil {
		t.Errorf("after delete and reopening: got %v", got)
	}
	put(t, x, garden[0])
	if got := found(t, x, "sward"); len(got) != 1 {
		t.Errorf("put again: got %v, want the page", got)
	}
}

func TestTakenDownPageStaysGone(t *testing.T) {
	dir := t.TempDir()
	x := openAt(t, dir)
	put(t, x, garden...)
	if err := x.TakeDown(t.Context(), garden[0].URL); err != nil {
		t.Fatal(err)
	}
	put(t, x, garden...) // crawled again
	if got := found(t, x, "sward"); got != nil {
		t.Errorf("crawled again: got %v, want nothing", got)
	}
	x.Close()
	x = openAt(t, dir)
	put(t, x, garden[0])
	if got := found(t, x, "sward"); got != nil {
		t.Errorf("reopened and crawled again: got %v, want nothing", got)
	}
	if n, err := x.Count(); n != len(garden)-1 || err != nil {
		t.Errorf("count: got %d, %v, want %d", n, err, len(garden)-1)
	}
}

func TestQueriesOutOfBoundsAreRefused(t *testing.T) {
	x := openAt(t, t.TempDir())
	many := strings.Fields("ash birch cedar dogwood elm fir gorse hazel ivy juniper kapok larch maple nutmeg oak pine quince")
	for _, c := range []struct {
		name string
		q    Query
		code string
	}{
		{"empty", Query{}, "empty_query"},
		{"only signs", Query{Text: "* ~ ( ) /"}, "empty_query"},
		{"too long", Query{Text: strings.Repeat("a", MaxQuery+1)}, "query_too_long"},
		{"a megabyte", Query{Text: strings.Repeat("a ", 1<<19)}, "query_too_long"},
		{"too many words", Query{Text: strings.Join(many, " ")}, "too_many_terms"},
		{"negative limit", Query{Text: "a b", Limit: -1}, "bad_limit"},
		{"limit", Query{Text: "meadow", Limit: MaxLimit + 1}, "bad_limit"},
		{"offset", Query{Text: "meadow", Offset: MaxOffset + 1}, "bad_offset"},
		{"negative offset", Query{Text: "meadow", Offset: -1}, "bad_offset"},
	} {
		_, err := x.Search(t.Context(), c.q)
		var refused *QueryError
		if !errors.As(err, &refused) || refused.Code != c.code {
			t.Errorf("%s: got %v, want code %s", c.name, err, c.code)
		}
	}
}

func TestSearchGivesUpWithItsContext(t *testing.T) {
	x := openAt(t, t.TempDir())
	put(t, x, garden...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Search(ctx, Query{Text: "meadow"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
}

func TestPutRefusesAddressesThatAreNotPages(t *testing.T) {
	x := openAt(t, t.TempDir())
	for _, address := range []string{"", "a.example", "javascript:alert(1)", "file:///etc/passwd", "https://", "https://a.example/" + strings.Repeat("a", MaxURL)} {
		if err := x.Put(t.Context(), Document{URL: address, Text: "text"}); err == nil {
			t.Errorf("put %.40q: got no error", address)
		}
	}
}

func TestHostileDocumentsAreBounded(t *testing.T) {
	x := openAt(t, t.TempDir())
	headings := make([]string, 100_000)
	for n := range headings {
		headings[n] = fmt.Sprintf("heading%d", n)
	}
	put(t, x,
		Document{URL: "https://a.example/token", Title: strings.Repeat("T", 1<<20), Text: strings.Repeat("x", 50<<20)},
		Document{URL: "https://a.example/headings", Headings: headings, Text: "harmless"},
		Document{URL: "https://a.example/bytes", Title: "bytes\xff\xfe\x00", Text: "invalid \xc3\x28 sequence \x00\x1b[31m here"},
		Document{URL: "https://a.example/spaces", Text: strings.Repeat(" \n", 1<<20)},
	)
	if got := found(t, x, "harmless heading99"); len(got) != 1 {
		t.Errorf("got %v, want the page with a kept heading", got)
	}
	if got := found(t, x, "heading100"); got != nil {
		t.Errorf("got %v, want the heading over the limit cut off", got)
	}
	if got := found(t, x, "invalid sequence"); len(got) != 1 {
		t.Errorf("got %v, want the page with invalid bytes", got)
	}
	page, _, err := x.pages.get(t.Context(), "https://a.example/token")
	if err != nil || len(page.Text) != MaxText || len(page.Title) != maxTitle {
		t.Errorf("kept %d bytes of text and %d of title, %v; want %d and %d", len(page.Text), len(page.Title), err, MaxText, maxTitle)
	}
}

func TestShardCountIsFixedAtCreation(t *testing.T) {
	dir := t.TempDir()
	x := openAt(t, dir)
	put(t, x, garden...)
	x.Close()
	x, err := Open(Config{Dir: dir, Shards: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if len(x.shards) != 2 {
		t.Errorf("got %d shards, want the 2 of its creation", len(x.shards))
	}
	if got := found(t, x, "meadow"); len(got) != 3 {
		t.Errorf("got %v, want 3 pages", got)
	}
}

func TestOpenIndexIsNotOpenedTwice(t *testing.T) {
	dir := t.TempDir()
	x := openAt(t, dir)
	put(t, x, garden...)
	if second, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		second.Close()
		t.Fatalf("got %v, want an error that says it is in use", err)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*.damaged-*")); aside != nil {
		t.Errorf("a shard in use was set aside: %v", aside)
	}
	if got := found(t, x, "meadow"); len(got) != 3 {
		t.Errorf("the first opener found %v, want 3 pages", got)
	}
}

func TestManyWritersShareBatches(t *testing.T) {
	x := openAt(t, t.TempDir())
	const writers, each = 16, 4
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				err := x.Put(t.Context(), Document{URL: fmt.Sprintf("https://h%d.example/%d", w, n), Text: fmt.Sprintf("common word%dn%d", w, n)})
				if err != nil {
					t.Error(err)
				}
				if got := found(t, x, fmt.Sprintf("word%dn%d", w, n)); len(got) != 1 {
					t.Errorf("writer %d did not find its page %d when Put had returned: %v", w, n, got)
				}
			}
		})
	}
	group.Wait()
	if n, err := x.Count(); n != writers*each || err != nil {
		t.Errorf("count: got %d, %v, want %d", n, err, writers*each)
	}
}

func TestClosedIndexRefusesWork(t *testing.T) {
	x := openAt(t, t.TempDir())
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Put(t.Context(), garden[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("put: got %v, want %v", err, ErrClosed)
	}
	if err := x.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: got %v, want %v", err, ErrClosed)
	}
}

func TestLaterChangeOfAPageWins(t *testing.T) {
	x := openAt(t, t.TempDir())
	a := Document{URL: "https://a.example/", Text: "one"}
	put1, put2 := &change{documents: []Document{a}}, &change{documents: []Document{{URL: a.URL, Text: "two"}}}
	removal := &change{deletes: []string{a.URL}}
	for _, c := range []struct {
		name    string
		changes []*change
		want    int
	}{
		{"delete, put", []*change{removal, put1}, 1},
		{"put, put", []*change{put1, put2}, 1},
	} {
		joined := &change{}
		for _, next := range c.changes {
			if !joined.join(next) {
				t.Fatalf("%s: not joined", c.name)
			}
		}
		if err := x.commit(t.Context(), joined, &progress{}); err != nil {
			t.Fatal(err)
		}
		if n, err := x.Count(); n != c.want || err != nil {
			t.Errorf("%s: count %d, %v, want %d", c.name, n, err, c.want)
		}
	}
	if got := found(t, x, "two"); len(got) != 1 {
		t.Errorf("got %v, want the later document", got)
	}
	if (&change{documents: []Document{a}}).join(removal) {
		t.Error("a removal joined a batch after a document, where it would be done first")
	}
}

func TestOpenRefusesAnUnknownLayout(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "layout.json"), []byte(`{"version":9,"shards":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if x, err := Open(Config{Dir: dir}); err == nil {
		x.Close()
		t.Error("an index of a later version was opened")
	}
}
