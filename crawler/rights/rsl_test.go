package rights

import (
	"net/http"
	"strings"
	"testing"

	"sward/crawler/text"
)

func TestRSLIsReadForThePathOfAPage(t *testing.T) {
	const prohibits, permits = `<prohibits type="usage">`, `<permits type="usage">`
	license := func(terms string) string { return `<content url="/"><license>` + terms + `</license></content>` }
	for _, c := range []struct{ name, contents, want string }{
		{"training prohibited", license(permits + "search</permits>" + prohibits + "ai-train</prohibits>"), "+--"},
		{"all prohibited", license(prohibits + "all</prohibits>"), "---"},
		{"prohibition alone", license(prohibits + "ai-train</prohibits>"), "??-"},
		{"all permitted", license(permits + "all</permits>"), "+++"},
		{"two lists", license(permits + "search ai-index</permits>" + prohibits + "ai-train</prohibits>" + `<payment type="attribution"/>`), "++-"},
		{"prohibition beats permission", license(permits + "ai-all, search</permits>" + prohibits + "ai-train</prohibits>"), "++-"},
		{"to be paid", license(permits + `ai-all</permits><payment type="crawl"><amount currency="USD">0.015</amount></payment>`), "?--"},
		{"all to be paid", license(`<payment type="subscription"/>`), "---"},
		{"free", license(`<payment type="free"/>`), "+++"},
		{"free for search, paid for AI", `<content url="/"><license>` + permits + `search</permits></license><license>` + permits + `ai-train</permits><payment type="training"/></license></content>`, "+--"},
		{"licence server", `<content url="/" server="https://l.example/api"><license>` + permits + `ai-input</permits></license></content>`, "?--"},
		{"users only", license(`<permits type="user">non-commercial</permits>`), "???"},
		{"most specific content", license(prohibits+"ai-train</prohibits>") + `<content url="/docs/"><license>` + permits + `all</permits></license></content>`, "+++"},
		{"whole address", `<content url="https://site.example/docs*"><license>` + prohibits + `ai-train</prohibits></license></content>`, "??-"},
		{"another host", `<content url="https://other.example/"><license>` + prohibits + `ai-train</prohibits></license></content>`, "???"},
	} {
		l, err := ParseRSL("https://site.example/rsl.xml", []byte(`<?xml version="1.0" encoding="UTF-8"?><rsl xmlns="https://rslstandard.org/rsl">`+c.contents+`</rsl>`))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		files := &Files{Origin: "https://site.example", Licences: []Licence{l}}
		if got := verdictOf(Read(http.Header{}, text.Content{}, "/docs/a", files).Verdict); got != c.want {
			t.Errorf("%s: got %s, want %s (search, ai-input, ai-train)", c.name, got, c.want)
		}
	}
}

func TestHostileRSLIsRefused(t *testing.T) {
	for name, file := range map[string]string{
		"entities":    `<!DOCTYPE rsl [<!ENTITY a SYSTEM "file:///etc/passwd">]><rsl><content url="/">&a;</content></rsl>`,
		"HTML":        `<!doctype html><p>not found`,
		"nothing":     ``,
		"half":        `<rsl><content url="/"><license>`,
		"no content":  `<rsl xmlns="https://rslstandard.org/rsl"></rsl>`,
		"other space": `<rsl xmlns="urn:x"><content url="/"/></rsl>`,
		"too long":    `<rsl>` + strings.Repeat(" ", MaxRSL) + `<content url="/"/></rsl>`,
	} {
		if l, err := ParseRSL("https://site.example/rsl.xml", []byte(file)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, l)
		}
	}
}

func TestLicenceIsFoundInLinkHeader(t *testing.T) {
	h := http.Header{"Link": {`</style.css>; rel=preload, <https://a.example/rsl.xml>; rel="license"; type="application/rsl+xml"`, `<https://a.example/terms>; rel=license`}}
	r := Read(h, text.Content{Licences: []string{"https://a.example/tag.xml"}}, "/", nil)
	if want := "https://a.example/rsl.xml https://a.example/tag.xml"; strings.Join(r.Licences, " ") != want {
		t.Errorf("got %v, want %s", r.Licences, want)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte(`<rsl><content url="/"><license><permits type="usage">all</permits></license></content></rsl>`), "/a")
	f.Add([]byte(`[{"location":"/*","tdm-reservation":1}]`), "/%zz")
	f.Fuzz(func(_ *testing.T, file []byte, path string) {
		files := &Files{Origin: "https://a.example", Robots: [][]string{strings.Split(string(file), "\n")}}
		if l, err := ParseRSL("https://a.example/", file); err == nil {
			files.Licences = append(files.Licences, l)
		}
		if rules, err := ParseTDM(file); err == nil {
			files.TDM = append(files.TDM, rules)
		}
		Read(http.Header{"Content-Usage": {string(file)}}, text.Content{}, path, files)
	})
}
