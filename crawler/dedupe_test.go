package crawler

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/crawler/text"
)

// prose is n sentences that only seed decides.
func prose(seed uint64, n int) string {
	random := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	for range n {
		b.WriteString("<p>")
		for range 12 {
			fmt.Fprintf(&b, "word%d ", random.IntN(5000))
		}
		b.WriteString("ends.</p>\n")
	}
	return b.String()
}

// TestDuplicatesAreMarkedOrLeftOut is a site with one text under three addresses, once as it is, once with a word more and
// once with other white space, and one page that has nothing to do with it.
func TestDuplicatesAreMarkedOrLeftOut(t *testing.T) {
	story := prose(1, 60)
	frame := func(body string) string {
		return "<!doctype html><html lang=en><head><title>t</title></head><body><main>" + body + "</main></body></html>"
	}
	links := `<a href="/copy">c</a> <a href="/near">n</a> <a href="/other">o</a> <a href="/spaced">s</a>`
	site := crawltest.Site{
		"/": frame("<h1>contents</h1>" + prose(3, 30) + links), "/copy": frame(story), "/spaced": frame(strings.ReplaceAll(story, " ", "\n  ")),
		"/near": frame(story + "<p>one more.</p>"), "/other": frame(prose(2, 60)),
	}
	n := crawltest.New(t, site)
	cfg := config(n, t.TempDir())
	cfg.BatchSize, cfg.HostsAtOnce = 1, 1 // so that the first is the first
	p := start(t, cfg)
	for _, test := range []struct {
		mode      string
		delivered []string
		marked    map[string]string // path to kind and first
		codes     map[string]string
	}{
		{"", []string{"/", "/copy", "/near", "/other", "/spaced"}, map[string]string{"/near": "near " + root + "copy", "/spaced": "exact " + root + "copy"}, map[string]string{}},
		{dedupeExact, []string{"/", "/copy", "/near", "/other"}, map[string]string{"/near": "near " + root + "copy"}, map[string]string{root + "spaced": codeSameText}},
		{dedupeNear, []string{"/", "/copy", "/other"}, map[string]string{}, map[string]string{root + "spaced": codeSameText, root + "near": codeNearText}},
	} {
		t.Run("mode "+test.mode, func(t *testing.T) {
			job, documents := p.crawl(object{"url": root, "dedupe": test.mode, "sitemap": "skip", "scrapeOptions": object{"onlyMainContent": false, "maxAge": 0}})
			if diff := cmp.Diff(test.delivered, paths(documents)); diff != "" {
				t.Errorf("delivered (-want +got):\n%s", diff)
			}
			marked := map[string]string{}
			for _, d := range documents {
				meta := d["metadata"].(object)
				how := meta["provenance"].(object)
				if of, is := how["duplicateOf"].(string); is {
					marked["/"+strings.TrimPrefix(meta["url"].(string), root)] = how["duplicateKind"].(string) + " " + of
				}
			}
			if diff := cmp.Diff(test.marked, marked); diff != "" {
				t.Errorf("marked (-want +got):\n%s", diff)
			}
			codes := map[string]string{}
			for _, e := range p.failed(job) {
				codes[e.URL] = e.Code
				if e.Owner != "client" {
					t.Errorf("%s: owner %q, want client", e.URL, e.Owner)
				}
			}
			if diff := cmp.Diff(test.codes, codes); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			if job.Completed != len(test.delivered) || job.State != Completed {
				t.Errorf("job: got %v with %d, want completed with %d", job.State, job.Completed, len(test.delivered))
			}
		})
	}
}

// Pages of an archive job have no text to compare, and short ones too few words for a simhash.
func TestShortTextsAreNoNearDuplicates(t *testing.T) {
	one, two := newLikeness("a", "Page one of two", [32]byte{1}), newLikeness("b", "Page two of two", [32]byte{2})
	if one.bands()[0] != nil || one.sum == two.sum {
		t.Errorf("got bands %v and sums %x %x, want none and two", one.bands(), one.sum, two.sum)
	}
	empty, other := newLikeness("a", " \n", [32]byte{1}), newLikeness("b", "", [32]byte{2})
	if empty.sum == other.sum || empty.sum != [32]byte{1} {
		t.Errorf("pages without text: got %x and %x, want their bodies' digests", empty.sum, other.sum)
	}
}

// TestBandsFindEveryNearDuplicate flips up to three bits: at least one band stays whole.
func TestBandsFindEveryNearDuplicate(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	random := rand.New(rand.NewPCG(7, 7))
	o := &outcome{fate: deliver, job: &job{id: 1, kind: Crawl}}
	err = s.update(func(tx *tx) error {
		for i := range 200 {
			l := &likeness{url: fmt.Sprint(i), simhash: random.Uint64(), words: 100}
			l.sum[0], l.sum[1] = byte(i), 1
			o.likeness = l
			near := l.simhash
			for range random.IntN(text.NearDuplicate + 1) {
				near ^= 1 << random.IntN(64)
			}
			if err := tx.keepText(o); err != nil {
				return err
			}
			got, code, err := tx.twin(1, &likeness{simhash: near, words: 100})
			if err != nil || got != l.url || code != codeNearText {
				t.Errorf("text %d with %d other bits: got %q %q, %v, want %q", i, text.Hamming(near, l.simhash), got, code, err, l.url)
			}
			if got, code, err := tx.twin(1, &likeness{simhash: l.simhash ^ 0x0001_0001_0001_0003, words: 100}); err != nil || code != "" {
				t.Errorf("text %d with 5 other bits: got twin %q, %v", i, got, err)
			}
			if _, code, err := tx.twin(2, &likeness{simhash: near, words: 100}); err != nil || code != "" {
				t.Errorf("text %d: got a twin in another job, %v", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDuplicateIsNamedOutsideOfThePagesText(t *testing.T) {
	page := []byte(`{"markdown":"\"provenance\":{ is no field","metadata":{"provenance":{"exit":"e"}}}`)
	want := `{"markdown":"\"provenance\":{ is no field","metadata":{"provenance":{"duplicateOf":"http://a/\"","duplicateKind":"near","exit":"e"}}}`
	if got := string(markDuplicate(page, `http://a/"`, "near")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// BenchmarkDedupe is what the one writer pays for a page of a large job.
func BenchmarkDedupe(b *testing.B) {
	s, err := openStore(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	random := rand.New(rand.NewPCG(7, 7))
	o := &outcome{fate: deliver, job: &job{id: 1, kind: Crawl}}
	add := func(tx *tx) error {
		l := &likeness{url: root, simhash: random.Uint64(), words: 100}
		for i := range l.sum {
			l.sum[i] = byte(random.Uint32())
		}
		o.likeness = l
		if err := tx.dedupe(o); err != nil {
			return err
		}
		return tx.keepText(o)
	}
	const before = 100_000 // maxLimit
	if err := s.update(func(tx *tx) error {
		for range before {
			if err := add(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	if err := s.update(func(tx *tx) error {
		for b.Loop() {
			if err := add(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}
