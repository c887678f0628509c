package dashboard

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

const browserTime = time.Minute // for everything that is done in one browser, under the race detector

// browser is a Chromium that has the dashboard open, signed in by a code as the owner's is.
type browser struct {
	*testing.T
	ctx  context.Context
	said func() []string // what it complains about
}

func openBrowser(t *testing.T, link string) *browser {
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
			if text := m.String(); !strings.Contains(text, "401 (Unauthorized)") { // of the page that asks for the code
				lines = append(lines, text)
			}
			mu.Unlock()
		}
	}()
	b := &browser{T: t, ctx: ctx, said: func() []string {
		mu.Lock()
		defer mu.Unlock()
		return lines
	}}
	b.do(chromedp.Navigate(link), chromedp.WaitVisible(chromedp.CSS("body[data-page]")))
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatalf("the dashboard in a browser: %v\n%s", err, strings.Join(b.said(), "\n"))
	}
}

// goTo opens a page and waits for it.
func (b *browser) goTo(url, selector string) {
	b.Helper()
	b.do(chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(selector)))
}

func evaluate[T any](b *browser, script string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.Fatalf("%s: %v", script, err)
	}
	return v
}

// look is a window and the system's wish for light or dark.
type look struct {
	name, scheme  string
	width, height int64
}

// looks are how a page is looked at: on a desk by day, and on a phone at night.
var looks = []look{{"desk", "light", 1280, 900}, {"phone", "dark", 390, 844}}

func (b *browser) look(l look) {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(l.width, l.height))
}

// picture keeps what the page looks like, whole and as far as the window shows it, in the folder SWARD_SHOTS.
func (b *browser) picture(name string) {
	b.Helper()
	dir := os.Getenv("SWARD_SHOTS")
	if dir == "" {
		return
	}
	for _, l := range looks {
		b.look(l)
		b.do(chromedp.Sleep(150 * time.Millisecond))
		for ending, take := range map[string]chromedp.Action[[]byte]{".png": chromedp.FullScreenshot(100), "-top.png": chromedp.CaptureScreenshot()} {
			shot, err := chromedp.Run(b.ctx, take)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+"-"+l.name+ending), shot, 0o600)
			}
			if err != nil {
				b.Error(err)
			}
		}
	}
}
