package crawler

import (
	"compress/gzip"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"sward/crawler/crawltest"
	"sward/crawler/proof"
	"sward/crawler/warc"
)

// zipped serves a site with its bodies compressed, so that what is attested is not what went over the wire.
func zipped(site http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.URL.Path == "/robots.txt" {
			site.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		site.ServeHTTP(unzippedWriter{w, z}, r)
	})
}

type unzippedWriter struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w unzippedWriter) Write(p []byte) (int, error) { return w.z.Write(p) }

// Every way in which a page can come gives a document that stands up to a check against signatures and archive.
func TestEveryDocumentCanBeVerified(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root", "/a", "/b"), "/a": crawltest.Page("a"), "/b": crawltest.Page("a")}
	hub := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for name, test := range map[string]struct {
		site  http.Handler
		order object
		edge  bool
		times int
	}{
		"by an edge":            {site: site, edge: true, times: 1},
		"compressed":            {site: zipped(site), edge: true, times: 1},
		"over the tunnel":       {site: site, order: object{"execution": "tunnel"}, times: 1},
		"from memory":           {site: site, order: object{"maxAge": 3_600_000}, edge: true, times: 2},
		"from memory, zipped":   {site: zipped(site), order: object{"maxAge": 3_600_000}, edge: true, times: 2},
		"unchanged, says a 304": {site: &tagged{site: site}, edge: true, times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := crawltest.New(t, test.site)
			cfg := config(n, t.TempDir())
			cfg.Network = "test"
			cfg.Seal = func(body []byte) (string, []byte) { return "hub", ed25519.Sign(hub, body) }
			cfg.Where = func(string) (string, uint32) { return "de", 3320 }
			p := start(t, cfg)
			check := proof.Checker{
				Network: "test", Hub: "hub",
				Verify: func(_, peer, typ string, body, sig []byte) bool {
					if typ == proof.TypeSeal {
						return peer == "hub" && ed25519.Verify(hub.Public().(ed25519.PublicKey), body, sig)
					}
					return n.Verify(peer, body, sig)
				},
				Exchange: func(at proof.Place) ([]byte, []byte, error) {
					r, err := p.c.archive.Record(warc.Location{File: at.File, Offset: at.Offset, Length: at.Length, ID: at.ID})
					head, body := r.Payload()
					return warc.ReceivedHeader(head), body, err
				},
			}
			order := object{"url": root, "sitemap": "skip", "scrapeOptions": object{"formats": []string{"markdown", "html", "rawHtml"}}}
			for key, value := range test.order {
				if key == "maxAge" {
					order["scrapeOptions"].(object)[key] = value
					continue
				}
				order[key] = value
			}
			var documents []object
			for range test.times {
				if _, documents = p.crawl(order); len(documents) != len(site) {
					t.Fatalf("got %d documents, want %d", len(documents), len(site))
				}
			}
			for _, d := range documents {
				text, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				steps, err := check.Check(text)
				if err != nil {
					t.Fatal(err)
				}
				signed := false
				for _, s := range steps {
					if s.Failed() {
						t.Errorf("%s: %s: %v", d["metadata"].(object)["url"], s.Name, s.Err)
					}
					signed = signed || s.Name == "attestation"
				}
				if signed != test.edge {
					t.Errorf("attested: got %v, want %v: %v", signed, test.edge, steps)
				}
				if how := d["metadata"].(object)["provenance"].(object); how["exitCountry"] != "de" || how["exitAsn"] != 3320.0 {
					t.Errorf("exit: got %v and %v, want de and 3320", how["exitCountry"], how["exitAsn"])
				}
			}
		})
	}
}
