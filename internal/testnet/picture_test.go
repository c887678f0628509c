package testnet_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"sward/internal/hub"
	"sward/internal/testnet"
)

// TestScreenshotTakesThePoliteWay has a page pictured whose parts robots.txt forbids, the gate forbids, and nobody forbids.
func TestScreenshotTakesThePoliteWay(t *testing.T) {
	binary, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("skipped: there is no chromium")
	}
	var mu sync.Mutex
	var asked []string
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		switch r.URL.Path {
		case "/robots.txt":
			fmt.Fprint(w, "User-agent: *\nDisallow: /private/\n")
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!doctype html><html lang="en"><head><title>Chairs</title><link rel="stylesheet" href="/style.css"></head><body>
<h1>Chairs</h1><p>A text about garden chairs, which is long enough to be read.</p>
<img src="/private/tracker.png"><img src="http://192.168.1.1/router.png"><img src="http://router.sward.example/x.png"></body></html>`)
		case "/style.css":
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, "body { background: #00aa00 }")
		default:
			http.NotFound(w, r)
		}
	})
	testnet.Run(t, testnet.Config{Edges: 3, Site: site, Hub: func(c *hub.Config) { c.Chromium = binary }}, func(ctx context.Context, n *testnet.Net) {
		order := fmt.Sprintf(`{"url": %q, "formats": ["markdown", {"type": "screenshot", "fullPage": true}]}`, n.Info().Site+"/")
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Info().API+"/v2/scrape", strings.NewReader(order))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+n.Info().Key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Data struct{ Markdown, Screenshot, Warning string }
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		picture, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got.Data.Screenshot, "data:image/png;base64,"))
		if err != nil || got.Data.Markdown == "" || len(picture) == 0 {
			t.Fatalf("POST /v2/scrape = %d %.400s, %v", answer.StatusCode, text, err)
		}
		decoded, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		if red, green, blue, _ := decoded.At(1200, 700).RGBA(); red != 0 || green != 0xaaaa || blue != 0 {
			t.Errorf("the background is %04x %04x %04x, want the style's green", red, green, blue)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(asked, "/style.css") || slices.Contains(asked, "/private/tracker.png") {
			t.Errorf("the site was asked for %v, want the style and not what robots.txt forbids", asked)
		}
	})
}
