// Package console is what a buyer sees of the crawl API with a browser: its description for programs (/openapi.json), the
// same description for people (/docs), and a page to watch jobs with (/console).
//
// All three are the same for everybody and need no key. The console asks for the key and calls the API with it, like any
// other client: the key is kept in the tab's session storage, and goes nowhere but into the Authorization header. Pages
// that were crawled are strangers' text. The console shows them as text, and its Content-Security-Policy forbids every
// script but its own, so that nothing in a crawled page can run where the key is.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"time"
)

//go:embed page
var files embed.FS

// Policies of the pages. The console may run and call what this host serves, and nothing else; images are screenshots,
// which arrive inside JSON.
const (
	docsPolicy    = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data: blob:; base-uri 'none'; " +
		"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

// kinds are media types by a file's ending: the machine's own table is not asked, which may have none.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json; charset=utf-8",
}

// asset is one answer.
type asset struct {
	kind   string // media type
	policy string
	body   []byte
	tag    string
}

// Paths are what New's handler is for, as patterns of a ServeMux.
func Paths() []string {
	return []string{"/openapi.json", "/docs", "/docs/", "/console", "/console/"}
}

// New returns the pages. The description is read and rendered once.
func New() (http.Handler, error) {
	description, err := read()
	if err != nil {
		return nil, err
	}
	docs, err := description.page()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	add := func(at, kind, policy string, body []byte) {
		a := asset{kind: kind, policy: policy, body: body, tag: fmt.Sprintf(`"%x"`, sha256.Sum256(body))[:18] + `"`}
		mux.Handle("GET "+at, a)
	}
	add("/openapi.json", kinds[".json"], docsPolicy, description.json)
	add("/docs", kinds[".html"], docsPolicy, docs)
	for _, at := range []string{"/docs", "/console"} { // as people type it
		mux.Handle("GET "+at+"/{$}", http.RedirectHandler(at, http.StatusPermanentRedirect))
	}
	for _, f := range []struct{ at, file, policy string }{
		{"/docs/style.css", "docs.css", docsPolicy},
		{"/console", "console/index.html", consolePolicy},
		{"/console/style.css", "console/style.css", docsPolicy},
		{"/console/app.js", "console/app.js", docsPolicy},
		{"/console/api.js", "console/api.js", docsPolicy},
		{"/console/job.js", "console/job.js", docsPolicy},
		{"/console/jobs.js", "console/jobs.js", docsPolicy},
		{"/console/preview.js", "console/preview.js", docsPolicy},
		{"/console/rate.js", "console/rate.js", docsPolicy},
		{"/console/view.js", "console/view.js", docsPolicy},
	} {
		body, err := files.ReadFile("page/" + f.file)
		if err != nil {
			return nil, err
		}
		add(f.at, kinds[path.Ext(f.file)], f.policy, body)
	}
	return mux, nil
}

func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", a.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // asked again each time, and answered 304
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}
