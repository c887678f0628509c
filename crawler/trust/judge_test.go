package trust

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// visit is who reads a page, and the how-manieth reader that is.
type visit struct{ n int }

// article is a page of a real shape: head, navigation, text, list of links, footer. fill puts in what changes.
func article(topic int, fill func(slot string) string) string {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="csrf-token" content="` + fill("token") + `">`)
	fmt.Fprintf(&b, `<title>On topic %d</title><script nonce="%s">window.boot={"id":"%s","topic":%d}</script></head><body>`, topic, fill("nonce"), fill("token"), topic)
	b.WriteString(`<nav><a href="/">Home</a> <a href="/topics">All topics</a> <a href="/about">About us</a></nav>` + fill("clock"))
	fmt.Fprintf(&b, `<main><h1>On topic %d</h1><p class="by">By A. Writer, %s</p>`, topic, fill("ago"))
	words := strings.Fields("the river carries its sand past old mills and over low walls until no map of it holds for more than a season or two")
	r := rand.New(rand.NewPCG(uint64(topic), 1))
	for range 12 {
		b.WriteString("<p>")
		for range 60 {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		fmt.Fprintf(&b, `<a href="/topics/%d">see also</a></p>`, r.IntN(500))
	}
	b.WriteString(fill("ad"))
	fmt.Fprintf(&b, `<p>Price: EUR %d.95, <a href="/buy/%d">buy</a></p></main><footer>%s</footer></body></html>`, topic+10, topic, fill("footer"))
	return b.String()
}

// dynamics are the ways in which honest sites answer each reader differently.
var dynamics = map[string]func(v visit) func(string) string{
	"static": func(visit) func(string) string { return func(string) string { return "" } },
	"nonces": func(v visit) func(string) string {
		return func(slot string) string {
			if slot == "nonce" || slot == "token" {
				return fmt.Sprintf("%016x%016x", uint64(v.n)*0x9e3779b97f4a7c15, uint64(v.n)*0xc2b2ae3d27d4eb4f)
			}
			return ""
		}
	},
	"dates": func(v visit) func(string) string {
		return func(slot string) string {
			switch slot {
			case "clock":
				return fmt.Sprintf("<p>It is %02d:%02d:%02d on %d November 2026</p>", v.n%24, v.n*7%60, v.n*13%60, 1+v.n%28)
			case "ago":
				return fmt.Sprintf("%d minutes ago", 2+v.n)
			case "footer":
				return fmt.Sprintf("made 2026-11-%02dT%02d:00:00Z, build 17%08d", 1+v.n%28, v.n%24, v.n)
			}
			return ""
		}
	},
	"rotating advertisements": func(v visit) func(string) string {
		return func(slot string) string {
			if slot != "ad" {
				return ""
			}
			goods := strings.Fields("anvils bicycles candles drums easels forks guitars hats irons jackets kites lamps")
			g := goods[v.n%len(goods)]
			return fmt.Sprintf(`<div class="ad"><a href="https://ads.example/c?i=%d"><img src="https://ads.example/%s.png" alt="%s"></a> The best %s of %d, %s for all!</div>`,
				v.n*7919, g, g, g, 2000+v.n, g)
		}
	},
	"advertisers of their own": func(v visit) func(string) string {
		return func(slot string) string {
			if slot != "ad" {
				return ""
			}
			return fmt.Sprintf(`<div><a href="https://shop%d.example/"><img src="https://shop%d.example/a.png"></a> Shop %d sells at once</div>`, v.n, v.n, v.n)
		}
	},
	"counter of readers": func(v visit) func(string) string {
		return func(slot string) string {
			if slot == "footer" {
				return fmt.Sprintf("read %d times", 1000+v.n)
			}
			return ""
		}
	},
	"comments of the hour": func(v visit) func(string) string {
		return func(slot string) string {
			if slot == "footer" {
				return strings.Repeat("somebody said something of no weight ", 1+v.n%5)
			}
			return ""
		}
	},
}

// alterations are what a dishonest edge makes of a page.
var alterations = map[string]func(page string, r *rand.Rand) string{
	"another price": func(p string, _ *rand.Rand) string { return strings.Replace(p, "Price: EUR ", "Price: EUR 1", 1) },
	"another link": func(p string, _ *rand.Rand) string {
		return strings.Replace(p, `href="/buy/`, `href="https://thief.example/`, 1)
	},
	"a script": func(p string, _ *rand.Rand) string {
		return strings.Replace(p, "</main>", `<script src="https://thief.example/x.js"></script></main>`, 1)
	},
	"an advertisement": func(p string, _ *rand.Rand) string {
		return strings.Replace(p, "</h1>", `</h1><p><a href="https://thief.example/">Hot offers</a></p>`, 1)
	},
	"one word":           func(p string, _ *rand.Rand) string { return strings.Replace(p, "Home", "Hone", 1) },
	"a paragraph hidden": func(p string, _ *rand.Rand) string { return strings.Replace(p, "<p>", `<p style="display:none">`, 1) },
	"a paragraph less": func(p string, _ *rand.Rand) string {
		i := strings.Index(p, "<p>")
		return p[:i] + p[i+strings.Index(p[i:], "</p>"):]
	},
	"another page": func(string, *rand.Rand) string {
		return "<title>Welcome</title><p>This site has moved to a better place."
	},
	"nothing": func(string, *rand.Rand) string { return "" },
	"a word of each five": func(p string, r *rand.Rand) string {
		w := strings.Split(p, " ")
		for i := range w {
			if r.IntN(5) == 0 && !strings.ContainsAny(w[i], "<>=\"") {
				w[i] = "casino"
			}
		}
		return strings.Join(w, " ")
	},
}

func read(page string) Reading { return Read(200, "text/html; charset=utf-8", []byte(page)) }

func TestSitesThatChangeAccuseNobody(t *testing.T) {
	for name, site := range dynamics {
		for topic := range 16 {
			n := topic * 31
			first := read(article(topic, site(visit{n})))
			second, third := read(article(topic, site(visit{n + 1}))), read(article(topic, site(visit{n + 2})))
			if got := Judge(first, second, third); got != Same {
				t.Errorf("%s, page %d: got %d, want %d", name, topic, got, Same)
			}
		}
	}
}

func TestAlteredPageIsFoundOnEverySite(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, site := range dynamics {
		for how, alter := range alterations {
			for topic := range 3 {
				n := topic * 31
				page := alter(article(topic, site(visit{n})), r)
				got := Judge(read(page), read(article(topic, site(visit{n + 1}))), read(article(topic, site(visit{n + 2}))))
				if want := Altered; got != want && (how != "another price" || got != Numbers) {
					t.Errorf("%s on a site with %s: got %d, want %d", how, name, got, want)
				}
			}
		}
	}
}

func TestSiteThatIsAnotherForEachReaderProvesNothing(t *testing.T) {
	moody := func(n int) Reading {
		r := rand.New(rand.NewPCG(uint64(n), 3))
		var b strings.Builder
		for range 2000 {
			fmt.Fprintf(&b, "w%d ", r.IntN(100_000))
		}
		return read("<p>" + b.String())
	}
	if got := Judge(moody(1), moody(2), moody(3)); got != Unclear {
		t.Errorf("three unlike pages: got %d, want %d", got, Unclear)
	}
}

func TestStatusIsPartOfThePage(t *testing.T) {
	page, gone := read(article(1, dynamics["static"](visit{}))), Read(404, "text/html", []byte("<p>Not found"))
	for _, test := range []struct {
		name   string
		page   Reading
		others []Reading
		want   Finding
	}{
		{"a page where there is none", page, []Reading{gone, gone}, Altered},
		{"no page where there is one", gone, []Reading{page, page}, Altered},
		{"others do not agree", page, []Reading{gone, read("<p>Welcome, stranger")}, Unclear},
		{"one of two agrees", page, []Reading{gone, page}, Same},
		{"one reading only", page, []Reading{gone}, Altered},
	} {
		if got := Judge(test.page, test.others...); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestMoments(t *testing.T) {
	for _, test := range []struct {
		text string
		want int // words that are times
	}{
		{"2026-11-22 22.11.2026 22/11/26 04:31 4:31:07 2026-11-22T04:31:07Z 1763786400 1763786400123", 8},
		{"22 November 2026", 3}, {"Nov. 22nd, 2026", 3}, {"3 minutes ago", 1},
		{"EUR 22.95 1.299.000 10.0.0.1 2026 3 minutes 5:1 v1.2.3 555-0100-22222", 0},
	} {
		got, words := 0, strings.Fields(test.text)
		for i := range words {
			if moment(words, i) {
				got++
			}
		}
		if got != test.want {
			t.Errorf("%q: got %d words of time, want %d", test.text, got, test.want)
		}
	}
}

func BenchmarkJudgePageOf100KB(b *testing.B) {
	long := func(n int) []byte {
		var s strings.Builder
		for topic := range 20 {
			s.WriteString(article(topic, dynamics["rotating advertisements"](visit{n + topic})))
		}
		return []byte(s.String())
	}
	one, two, three := long(1), long(2), long(3)
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		read := func(p []byte) Reading { return Read(200, "text/html", p) }
		if got := Judge(read(one), read(two), read(three)); got != Same {
			b.Fatalf("got %d", got)
		}
	}
}
