package crawltest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
)

// Site is path and query to the body of an HTML page. What is missing is 404.
type Site map[string]string

func (s Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := s[r.URL.RequestURI()]
	if !ok {
		http.NotFound(w, r)
		return
	}
	switch r.URL.Path {
	case "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
	case "/sitemap.xml":
		w.Header().Set("Content-Type", "application/xml")
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	_, _ = io.WriteString(w, body)
}

// Page is an HTML page with a title, an honest text and links.
func Page(title string, links ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!doctype html><html lang=en><head><title>%s</title></head><body><main><h1>%s</h1>", title, title)
	fmt.Fprintf(&b, "<p>This is an honest text about %s, long enough for a reader to see what the page is for.</p>", title)
	for _, l := range links {
		fmt.Fprintf(&b, `<p><a href="%s">to %s</a></p>`, l, l)
	}
	b.WriteString("</main></body></html>")
	return b.String()
}

// Tree is a site of n pages in which each leads to three more, to its parent, and to the root, and all its paths, sorted.
func Tree(n int) (Site, []string) {
	site, all := Site{}, []string{}
	address := func(i int) string {
		if i == 0 {
			return "/"
		}
		return fmt.Sprintf("/p/%d.html", i)
	}
	for i := range n {
		links := []string{"/", address((i - 1) / 3), "/p/logo.png", "mailto:x@site.test", "http://elsewhere.test/"}
		for k := 3*i + 1; k <= 3*i+3 && k < n; k++ {
			links = append(links, address(k)+"#part")
		}
		site[address(i)] = Page(fmt.Sprintf("page %d", i), links...)
		all = append(all, address(i))
	}
	slices.Sort(all)
	return site, all
}

// Noise is n bytes that no compression makes fewer, the same each time.
func Noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
