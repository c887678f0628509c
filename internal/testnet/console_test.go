package testnet_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"sward/internal/testnet"
)

const browserTime = time.Minute // to start a browser and click through, under the race detector

// hostile is a page that wants to run where it is shown.
const hostile = `<!doctype html><html lang="en"><head><title>&lt;img src=x onerror="window.pwned=1"&gt;</title></head><body><main>
<h1>Offer</h1><p>A long enough paragraph about garden chairs, with <b>bold</b> words, so that there is something to read here.</p>
<script>window.pwned = 2</script><p><a href="javascript:window.pwned=3">click</a> <a href="/2">next</a> <a href="/private/">private</a></p></main></body></html>`

// TestConsoleInABrowser does what a buyer does: sign in, start a crawl, watch it end, read its pages and what failed.
func TestConsoleInABrowser(t *testing.T) {
	site := http.NewServeMux()
	site.HandleFunc("GET /robots.txt", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "User-agent: *\nDisallow: /private/\n") })
	site.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, hostile) })
	site.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		if len(r.PathValue("n")) > 5 {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "<!doctype html><title>Page %s</title><h1>Page %[1]s</h1><p>A text about chair number %[1]s, which stands in the garden of the shop.</p><a href='/%[1]s1'>a</a> <a href='/%[1]s2'>b</a>", r.PathValue("n"))
	})
	ctx, said := chromium(t)
	testnet.Run(t, testnet.Config{Edges: 3, Site: site}, func(_ context.Context, n *testnet.Net) {
		info := n.Info()
		do := func(steps ...chromedp.Action[chromedp.Void]) {
			t.Helper()
			if err := chromedp.Do(ctx, steps...); err != nil {
				t.Fatalf("the console: %v\n%s", err, strings.Join(said(), "\n"))
			}
		}
		has := func(selector, want string) {
			t.Helper()
			if got, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector))); err != nil || !strings.Contains(got, want) {
				t.Errorf("%s: got %.300q, %v, want it to have %q", selector, got, err, want)
			}
		}
		do(chromedp.Navigate(info.API+"/console"), chromedp.WaitVisible(chromedp.CSS("input[name=key]")))
		screenshots(ctx, t, "login")
		do(chromedp.SendKeys(chromedp.CSS("input[name=key]"), info.Key+"\r"),
			chromedp.WaitVisible(chromedp.CSS("input[name=url]")),
			chromedp.SendKeys(chromedp.CSS("input[name=url]"), info.Site+"/"),
			chromedp.SetValue(chromedp.CSS("input[name=limit]"), "60"),
			chromedp.Click(chromedp.CSS("form.line button")),
			chromedp.WaitVisible(chromedp.CSS(".figures")))
		screenshots(ctx, t, "running")
		do(chromedp.WaitVisible(chromedp.CSS(".state.completed")),
			chromedp.WaitVisible(chromedp.CSS(".causes")),
			chromedp.Click(chromedp.CSS(".pages li:first-child button")))
		has(".pages li:first-child b", "<img src=x onerror=")
		has(".paper", "garden chairs")
		screenshots(ctx, t, "job")
		do(chromedp.Click(chromedp.CSS(".tabs button:nth-of-type(2)")))
		has(".paper", "<script>")
		do(chromedp.Click(chromedp.CSS(".tabs button:last-of-type")))
		has(".paper", "sha256")
		screenshots(ctx, t, "metadata")
		has(".causes", "robots_denied")
		do(chromedp.Click(chromedp.CSS(".turn button:last-child:not([disabled])")),
			chromedp.WaitVisible(chromedp.CSS(".turn button:first-child:not([disabled])")))
		has(".turn span", "26–")
		pwned, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("'pwned' in window"))
		if err != nil {
			t.Fatal(err)
		}
		do(chromedp.Click(chromedp.CSS("h1 a")), chromedp.WaitVisible(chromedp.CSS(".jobs .state.completed")))
		screenshots(ctx, t, "jobs")
		do(chromedp.Click(chromedp.CSS("#leave")), chromedp.WaitVisible(chromedp.CSS("input[name=key]")))
		if pwned {
			t.Error("a crawled page ran in the console")
		}
		for _, line := range said() {
			t.Errorf("the browser says: %s", line)
		}
	})
}

// chromium starts Chromium for a test, and returns what it complains about.
func chromium(t *testing.T) (context.Context, func() []string) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("skipped: there is no chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserTime)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun,
		chromedp.DisableGPU, chromedp.WindowSize(1280, 900))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Skipf("skipped: chromium does not start: %v", err)
	}
	var mu sync.Mutex
	var lines []string
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			mu.Lock()
			if !strings.Contains(m.String(), "favicon.ico") {
				lines = append(lines, m.String())
			}
			mu.Unlock()
		}
	}()
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return lines
	}
}

// screenshots keeps what the page looks like, on a desk and on a phone at night, in the folder SWARD_SHOTS.
func screenshots(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("SWARD_SHOTS")
	if dir == "" {
		return
	}
	for _, look := range []struct {
		name, scheme  string
		width, height int64
	}{{"desk", "light", 1280, 900}, {"phone", "dark", 390, 844}} {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}},
		})
		if err == nil {
			err = chromedp.Do(ctx, chromedp.EmulateViewport(look.width, look.height), chromedp.Sleep(300*time.Millisecond))
		}
		var picture []byte
		if err == nil {
			picture, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+"-"+look.name+".png"), picture, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if err := chromedp.Do(ctx, chromedp.ResetViewport()); err != nil {
		t.Error(err)
	}
}
