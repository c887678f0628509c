package rights

import (
	"net/http"
	"testing"

	"sward/crawler/text"
)

func TestRobotsTagsAreReadAsTheMostRestrictive(t *testing.T) {
	for _, test := range []struct {
		name, header, value, meta string
		noIndex, noFollow, noAI   bool
	}{
		{name: "nothing"},
		{name: "meta none", meta: "none", noIndex: true, noFollow: true},
		{name: "meta list", meta: "max-snippet:50, noindex", noIndex: true},
		{name: "header", header: "X-Robots-Tag", value: "noarchive, nofollow", noFollow: true},
		{name: "another crawler", header: "X-Robots-Tag", value: "googlebot: noindex, nofollow"},
		{name: "our name", header: "X-Robots-Tag", value: "SwardBot: noindex", noIndex: true},
		{name: "after a date", header: "X-Robots-Tag", value: "unavailable_after: Wed, 3 Dec 2025 13:09:53 GMT, noindex, noai", noIndex: true, noAI: true},
		{name: "noai", header: "X-Robots-Tag", value: "noai, noimageai", noAI: true},
		{name: "noai for us", header: "X-Robots-Tag", value: "swardbot: noai", noAI: true},
		{name: "noimageai", header: "X-Robots-Tag", value: "noimageai"},
		{name: "header denies what meta allows", header: "X-Robots-Tag", value: "noindex", meta: "index, follow", noIndex: true},
	} {
		h := http.Header{}
		if test.header != "" {
			h.Set(test.header, test.value)
		}
		r := Read(h, text.Content{Robots: test.meta}, "/", nil)
		if r.NoIndex() != test.noIndex || r.NoFollow() != test.noFollow || (r.Verdict.AITrain == Deny) != test.noAI || (r.Verdict.AIInput == Deny) != test.noAI {
			t.Errorf("%s: got noindex %v, nofollow %v, verdict %+v, want %v, %v, no AI %v", test.name,
				r.NoIndex(), r.NoFollow(), r.Verdict, test.noIndex, test.noFollow, test.noAI)
		}
		if (r.Verdict.Search == Deny) != test.noIndex {
			t.Errorf("%s: got search %s, want it denied just by noindex", test.name, r.Verdict.Search)
		}
	}
}

// verdictOf is a verdict in short: search, ai-input and ai-train, each +, - or ?.
func verdictOf(v Verdict) string {
	short := ""
	for _, u := range uses {
		answer, signal := v.For(u)
		short += map[Answer]string{Allow: "+", Deny: "-", Unknown: "?"}[answer]
		if (signal == "") != (answer == Unknown) {
			short += "!" // a verdict without its statement, or the reverse
		}
	}
	return short
}

func TestByteOrderMarkReservesNothingLess(t *testing.T) {
	rules, err := ParseTDM([]byte("\xef\xbb\xbf" + `[{"location":"/","tdm-reservation":1}]`))
	if err != nil || len(rules) != 1 {
		t.Errorf("got %v, %v, want one rule", rules, err)
	}
}

func TestOneReservationOfTwoIsEnough(t *testing.T) {
	h := http.Header{"Tdm-Reservation": {"0", "1"}}
	if r := Read(h, text.Content{}, "/", nil); r.Verdict.AITrain != Deny {
		t.Errorf("training is %s under %v, want it denied", r.Verdict.AITrain, h)
	}
}

// Attacks J12 and J13: each dialect alone, and against the others.
func TestVerdictIsTheMostRestrictiveOfAllStatements(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	robots := func(lines ...string) *Files { return &Files{Robots: [][]string{lines}} }
	rules := func(file string) *Files {
		list, err := ParseTDM([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		return &Files{TDM: [][]TDMRule{list}}
	}
	const path = "/docs/a?b=1"
	for _, c := range []struct {
		name  string
		h     http.Header
		page  text.Content
		files *Files
		want  string
	}{
		{name: "silence", want: "???"},
		{name: "usage header", h: header("Content-Usage", "search=y, train-ai=n"), want: "+?-"},
		{name: "usage header, new label", h: header("Content-Usage", "ai-use=n"), want: "?-?"},
		{name: "usage header, parameters and case", h: header("Content-Usage", "Train-AI=n;exact, ai-use=y ;x"), want: "?+-"},
		{name: "usage header, two fields", h: header("Content-Usage", "train-ai=y", "Content-Usage", "train-ai=n"), want: "??-"},
		{name: "usage header, nonsense beside", h: header("Content-Usage", "x, =, train-ai=maybe, search=n,"), want: "-??"},
		{name: "usage header, a whole with an exception", h: header("Content-Usage", "bots=n, search=y"), want: "+--"},
		{name: "signal header", h: header("Content-Signal", "search=yes, ai-input=no, ai-train=no"), want: "+--"},
		{name: "signal header, auxiliary key", h: header("Content-Signal", "use=reference,ai-train=yes"), want: "??+"},
		{name: "usage in robots.txt", files: robots("Content-Usage: / train-ai=n"), want: "??-"},
		{name: "usage in robots.txt, no path", files: robots("Content-Usage: train-ai=n"), want: "??-"},
		{name: "usage in robots.txt, longest path", files: robots("Content-Usage: / train-ai=n", "Content-Usage: /docs/ train-ai=y"), want: "??+"},
		{name: "usage in robots.txt, other path", files: robots("Content-Usage: /private/ train-ai=n"), want: "???"},
		{name: "usage in robots.txt, same path twice", files: robots("Content-Usage: /docs train-ai=y", "content-usage:/docs\ttrain-ai=n"), want: "??-"},
		{name: "usage in robots.txt, path alone", files: robots("Content-Usage: /docs"), want: "???"},
		{name: "signal in robots.txt", files: robots("Content-Signal: search=yes,ai-train=no,use=reference"), want: "+?-"},
		{name: "two robots.txt", files: &Files{Robots: [][]string{{"Content-Signal: ai-train=yes"}, {"Content-Signal: ai-train=no"}}}, want: "??-"},
		{name: "header allows, robots.txt denies", h: header("Content-Usage", "train-ai=y"), files: robots("Content-Usage: / train-ai=n"), want: "??-"},
		{name: "header denies, robots.txt allows", h: header("Content-Usage", "train-ai=n"), files: robots("Content-Usage: / train-ai=y"), want: "??-"},
		{name: "dialects differ", h: header("Content-Signal", "ai-train=yes"), files: robots("Content-Usage: / train-ai=n"), want: "??-"},
		{name: "meta against header", h: header("Content-Usage", "train-ai=y, search=y"), page: text.Content{Robots: "noai, noindex"}, want: "---"},
		{name: "reserved by header", h: header("TDM-Reservation", "1", "TDM-Policy", "https://a.example/p"), want: "?--"},
		{name: "free by header", h: header("TDM-Reservation", "0"), want: "?++"},
		{name: "reservation of no meaning", h: header("TDM-Reservation", "2"), want: "???"},
		{name: "reserved by tag", page: text.Content{TDMReservation: "1"}, want: "?--"},
		{name: "header free, tag reserved", h: header("TDM-Reservation", "0"), page: text.Content{TDMReservation: "1"}, want: "?--"},
		{name: "reserved by file", files: rules(`[{"location":"/docs","tdm-reservation":1}]`), want: "?--"},
		{name: "file, first match", files: rules(`[{"location":"/docs/","tdm-reservation":0},{"location":"/","tdm-reservation":1}]`), want: "?++"},
		{name: "file, string and wildcard", files: rules(`[{"location":"/*b=1$","tdm-reservation":"1","tdm-policy":"https://a.example/p"}]`), want: "?--"},
		{name: "file, elsewhere", files: rules(`[{"location":"/x","tdm-reservation":1}]`), want: "???"},
		{name: "file, broken rules", files: rules(`[{"location":"/","tdm-reservation":7},{"location":5,"tdm-reservation":1},{"location":"/docs","tdm-reservation":0}]`), want: "?++"},
		{name: "header is more specific than file", h: header("TDM-Reservation", "0"), files: rules(`[{"location":"/","tdm-reservation":1}]`), want: "?++"},
	} {
		if c.h == nil {
			c.h = http.Header{}
		}
		if got := verdictOf(Read(c.h, c.page, path, c.files).Verdict); got != c.want {
			t.Errorf("%s: got %s, want %s (search, ai-input, ai-train)", c.name, got, c.want)
		}
	}
}

func TestVerdictNamesWhatDecided(t *testing.T) {
	h := http.Header{"Content-Signal": {"search=yes, ai-train=yes"}}
	v := Read(h, text.Content{}, "/", &Files{Robots: [][]string{{"Content-Usage: / train-ai=n"}}}).Verdict
	if answer, signal := v.For(AITrain); answer != Deny || signal != "robots.txt Content-Usage: / train-ai=n" {
		t.Errorf("got %s by %q, want it denied by the line of robots.txt", answer, signal)
	}
	if answer, signal := v.For(Search); answer != Allow || signal != "header Content-Signal: search=yes, ai-train=yes" {
		t.Errorf("got %s by %q, want it allowed by the header", answer, signal)
	}
}
