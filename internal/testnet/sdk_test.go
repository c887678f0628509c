package testnet_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sward/internal/testnet"
)

// sdkVersion is the Firecrawl SDK that must run unchanged.
const sdkVersion = "4.42.0"

func TestFirecrawlSDKScrapesAndCrawls(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: installs an npm package")
	}
	dir := installSDK(t)
	testnet.Run(t, testnet.Config{Edges: 3}, func(ctx context.Context, n *testnet.Net) {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", "run.mjs")
		cmd.Dir = dir
		info := n.Info()
		cmd.Env = append(os.Environ(), "SWARD_API="+info.API, "SWARD_KEY="+info.Key, "SWARD_SITE="+info.Site)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("SDK: %v\n%s\n%s", err, out, stderr.String())
		}
		var got struct {
			Title, Status, Refused, Cancelled          string
			StatusCode, Markdown, HTML, RawHTML, Links int
			Completed, Total, Empty                    int
			Provenance                                 bool
			URLs                                       []string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("SDK printed %q: %v", out, err)
		}
		if !strings.Contains(got.Title, "Sward") || got.StatusCode != 200 || got.Markdown == 0 || got.HTML == 0 || got.RawHTML == 0 || got.Links == 0 || !got.Provenance {
			t.Errorf("scrape = %s, want a title, status 200, every format and provenance", out)
		}
		if got.Status != "completed" || got.Completed != len(got.URLs) || got.Completed < 10 || got.Empty != 0 {
			t.Errorf("crawl: status %s, completed %d, %d documents, %d empty; want completed, equal, ≥ 10, 0", got.Status, got.Completed, len(got.URLs), got.Empty)
		}
		if slices.ContainsFunc(got.URLs, func(u string) bool { return strings.Contains(u, "/design/") || strings.Contains(u, "/internal/") }) {
			t.Errorf("crawl delivered excluded or disallowed pages: %v", got.URLs)
		}
		if dup := len(got.URLs) - len(slices.Compact(slices.Clone(got.URLs))); dup != 0 {
			t.Errorf("%d pages were delivered twice: %v", dup, got.URLs)
		}
		if got.Refused != "401" {
			t.Errorf("a wrong key: status %q, want 401", got.Refused)
		}
	})
}

// installSDK puts the SDK and the script into a temporary folder.
func installSDK(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: the SDK needs %s", tool)
		}
	}
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/sdk/run.mjs")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "run.mjs"), script, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"private":true,"type":"module"}`), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "firecrawl@"+sdkVersion)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: npm cannot install the SDK: %v\n%s", err, out)
	}
	return dir
}
