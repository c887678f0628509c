package render

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/chromedp/chromedp"
)

// nowhere is the proxy that the browser is told to use: a name that no resolver knows (RFC 6761), so that a request which
// was not answered from here ends in the browser.
const nowhere = "http://nowhere.invalid:9"

// start prepares a browser with a profile of its own, and returns a context for its one tab. stop kills it.
func (r *Renderer) start(ctx context.Context) (context.Context, func(), error) {
	home, err := os.MkdirTemp("", "sward-render-")
	if err != nil {
		return nil, nil, err
	}
	user, err := stranger(home)
	if err != nil {
		os.RemoveAll(home)
		return nil, nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(r.binary), chromedp.UserDataDir(filepath.Join(home, "profile")), chromedp.WindowSize(width, height),
		chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.NoInheritEnv, chromedp.Env("HOME="+home, "TMPDIR="+home, "PATH=/usr/bin:/bin", "LANG=C.UTF-8"),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { cmd.SysProcAttr, cmd.Dir = user, home }),
		chromedp.Flag("no-sandbox", false), // chromedp would switch it off for root; the browser is not root
		chromedp.ProxyServer(nowhere), chromedp.Flag("proxy-bypass-list", "<-loopback>"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
		// The first is what older browsers call the second: a switch that they do not know does nothing.
		chromedp.Flag("force-webrtc-ip-handling-policy", "disable_non_proxied_udp"),
		chromedp.Flag("webrtc-ip-handling-policy", "disable_non_proxied_udp"), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-extensions", true), chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-breakpad", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("metrics-recording-only", true),
		chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("dns-prefetch-disable", true),
		// Frames of other sites stay in the tab's own process: only there are their requests stopped. There is one page in this
		// browser, and no secret that it could take from another.
		chromedp.Flag("disable-site-isolation-trials", true),
		chromedp.Flag("disable-features", "IsolateOrigins,site-per-process,Translate,MediaRouter,OptimizationHints,InterestFeedContentSuggestions"),
		chromedp.Flag("js-flags", "--max-old-space-size=256"), // MiB: a page that wants more is no page
	}
	allocated, kill := chromedp.NewExecAllocator(ctx, options...)
	tab, leave := chromedp.NewContext(allocated, chromedp.WithErrorf(func(string, ...any) {})) // that a tab was closed is no news
	return tab, func() {
		leave()
		kill()
		os.RemoveAll(home)
	}, nil
}
