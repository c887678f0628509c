package crawler

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sward/crawler/botauth"
	"sward/crawler/crawltest"
)

// TestSiteCanTellOurRequests has a site check every request with the keys of the directory, as a site would.
func TestSiteCanTellOurRequests(t *testing.T) {
	ring, err := botauth.Open(filepath.Join(t.TempDir(), "keys"), "https://hub.example", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	directory := httptest.NewRecorder()
	ring.ServeHTTP(directory, httptest.NewRequest("GET", "https://hub.example"+botauth.DirectoryPath, nil))
	var set struct{ Keys []struct{ Kid, X string } }
	if err := json.Unmarshal(directory.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	verify := func(r *http.Request) error {
		if r.Header.Get("Signature-Agent") != `sig1="https://hub.example"` {
			return fmt.Errorf("its agent is %q", r.Header.Get("Signature-Agent"))
		}
		params := strings.TrimPrefix(r.Header.Get("Signature-Input"), "sig1=")
		_, keyID, _ := strings.Cut(params, `keyid="`)
		keyID, _, _ = strings.Cut(keyID, `"`)
		sig, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(r.Header.Get("Signature"), "sig1="), ":"))
		if err != nil || keyID != set.Keys[0].Kid {
			return fmt.Errorf("key %q, %w", keyID, err)
		}
		key, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("\"@authority\": %s\n\"signature-agent\";key=\"sig1\": \"https://hub.example\"\n\"@signature-params\": %s", r.Host, params)
		if !ed25519.Verify(key, []byte(text), sig) {
			return fmt.Errorf("the signature does not fit")
		}
		return nil
	}
	var mu sync.Mutex
	unknown := map[string]error{}
	elsewhere := 0
	site, _ := crawltest.Tree(8)
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch err := verify(r); {
		case r.Host == "elsewhere.test":
			if elsewhere++; r.Header.Get("Signature") != "" && err != nil {
				unknown[r.Host+r.URL.Path] = err // another authority's own signature is in order, ours is not
			}
		case err != nil:
			unknown[r.Host+r.URL.Path] = err
		}
		if r.URL.Path == "/p/7.html" && r.Host == "site.test" {
			http.Redirect(w, r, "http://elsewhere.test/p/7.html", http.StatusFound)
			return
		}
		site.ServeHTTP(w, r)
	}))
	for _, execution := range []string{"edge", "tunnel"} {
		cfg := config(n, t.TempDir())
		cfg.AuditRate = 1
		cfg.Sign = func(authority string, life time.Duration) (agent, input, signature string, err error) {
			f, err := ring.Sign(authority, life)
			return f.Agent, f.Input, f.Signature, err
		}
		p := start(t, cfg)
		if _, documents := p.crawl(object{"url": root, "execution": execution}); len(documents) < 7 {
			t.Errorf("%s: got %d documents", execution, len(documents))
		}
	}
	for path, err := range unknown {
		t.Errorf("a request for %s cannot be told: %v", path, err)
	}
	if elsewhere == 0 {
		t.Error("nobody followed the redirect")
	}
}
