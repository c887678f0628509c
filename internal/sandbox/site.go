package sandbox

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// Manual renders a folder of Markdown as a small web site: every *.md becomes a page, `index.md` is `/`, links between
// pages go to the rendered ones. Around the pages stand the things that a crawler must understand: robots.txt with one
// disallowed section, sitemap.xml, and a page behind a redirect.
func Manual(docs fs.FS, origin string) (http.Handler, error) {
	pages, err := render(docs)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	var paths []string
	for at, page := range pages {
		paths = append(paths, at)
		mux.HandleFunc("GET "+exact(at), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
		})
	}
	sort.Strings(paths)
	mux.HandleFunc("GET /robots.txt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "User-agent: *\nDisallow: /internal/\n\nSitemap: %s/sitemap.xml\n", origin)
	})
	mux.HandleFunc("GET /sitemap.xml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprint(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n")
		for _, at := range paths {
			fmt.Fprintf(w, "  <url><loc>%s%s</loc></url>\n", origin, at)
		}
		fmt.Fprint(w, "</urlset>\n")
	})
	mux.HandleFunc("GET /internal/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>Internal</title><p>robots.txt asks crawlers to stay out of here.")
	})
	mux.Handle("GET /start", http.RedirectHandler("/getting-started", http.StatusFound))
	return mux, nil
}

// Folder serves a directory tree of HTML as it is.
func Folder(root fs.FS) http.Handler { return http.FileServerFS(root) }

func exact(at string) string {
	if strings.HasSuffix(at, "/") {
		return at + "{$}"
	}
	return at
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} · Sward manual</title>
<style>
:root { color-scheme: light dark; }
body { font: 17px/1.6 Georgia, serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
nav { font: 14px/1.8 system-ui, sans-serif; border-bottom: 1px solid #8886; padding-bottom: .5rem; }
nav a { margin-right: .9em; white-space: nowrap; }
pre, code { font: 14px/1.5 ui-monospace, monospace; } pre { overflow-x: auto; padding: .8rem; background: #8881; }
table { border-collapse: collapse; } td, th { border: 1px solid #8886; padding: .25rem .6rem; text-align: left; }
</style>
</head>
<body>
<nav>{{range .Pages}}<a href="{{.Path}}">{{.Title}}</a> {{end}}<a href="/start">Start here</a> <a href="/internal/">Internal</a></nav>
<main>
{{.Body}}
</main>
</body>
</html>
`))

type entry struct {
	Path, Title string
	source      []byte
}

func render(docs fs.FS) (map[string][]byte, error) {
	entries, err := entriesOf(docs)
	if err != nil {
		return nil, err
	}
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	pages := map[string][]byte{}
	for _, e := range entries {
		var body, page bytes.Buffer
		if err := md.Convert(e.source, &body); err != nil {
			return nil, fmt.Errorf("render %s: %w", e.Path, err)
		}
		err := pageTemplate.Execute(&page, map[string]any{
			"Title": e.Title, "Pages": entries, "Body": template.HTML(linkPages(body.String())), //nolint:gosec // our own manual
		})
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", e.Path, err)
		}
		pages[e.Path] = page.Bytes()
	}
	return pages, nil
}

func entriesOf(docs fs.FS) ([]entry, error) {
	var entries []entry
	err := fs.WalkDir(docs, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".md" {
			return err
		}
		source, err := fs.ReadFile(docs, name)
		if err != nil {
			return err
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(string(source), "# "), "\n")
		entries = append(entries, entry{Path: pagePath(name), Title: title, source: source})
		return nil
	})
	if err == nil && len(entries) == 0 {
		err = errors.New("the manual has no pages")
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	return entries, err
}

// pagePath is where a Markdown file stands on the site: index.md at its folder, others without the suffix.
func pagePath(name string) string {
	at := "/" + strings.TrimSuffix(name, ".md")
	return strings.TrimSuffix(at, "index")
}

// linkPages turns links to Markdown files (`relays.md#ports`) into links to their pages.
func linkPages(html string) string {
	return strings.NewReplacer(`index.md"`, `"`, `.md"`, `"`, `.md#`, `#`).Replace(html)
}

// Serve runs the site on two listeners of this machine, one plain and one with TLS, until ctx ends.
func serveSite(ctx context.Context, handler http.Handler, plain, secure net.Listener, certificate tls.Certificate) error {
	server := siteServer(handler, certificate)
	done := make(chan error, 2)
	go func() { done <- server.Serve(plain) }()
	go func() { done <- server.ServeTLS(secure, "", "") }()
	<-ctx.Done()
	closing := server.Close()
	for range 2 {
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return closing
}

// siteServer serves both listeners. A server readies HTTP/2 once, for whichever listener comes first; if that is the
// plain one it does so only when h2 is named here, and would offer h2 over TLS all the same.
func siteServer(handler http.Handler, certificate tls.Certificate) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(discard{}, "", 0), // clients that leave in mid-handshake are no news
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		},
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// certificates are what the sandbox shows: its site, and its proxy door in TLS.
type certificates struct {
	ca         []byte // PEM, for those who are to trust both
	site, door tls.Certificate
}

// authority makes a certificate authority of this sandbox alone, a certificate for the site's names and one for the door
// on this machine. The authority's key is thrown away: the PEM that people are told to trust can never vouch for another
// name.
func authority(now time.Time, names ...string) (made certificates, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return made, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Sward sandbox authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return made, fmt.Errorf("make the sandbox's authority: %w", err)
	}
	made.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	issue := func(serial int64, names []string, addresses []net.IP) (leaf tls.Certificate, err error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return leaf, err
		}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: addresses,
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, ca, key.Public(), caKey)
		if err != nil {
			return leaf, fmt.Errorf("make the certificate of %s: %w", names[0], err)
		}
		return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}, nil
	}
	if made.site, err = issue(2, names, nil); err != nil {
		return made, err
	}
	made.door, err = issue(3, []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback})
	return made, err
}
