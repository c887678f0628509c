package testnet_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sward/crawler"
	"sward/internal/hub"
	"sward/internal/testnet"
)

const (
	installTime = 4 * time.Minute // npm, 200 packages over a slow line
	scriptTime  = 4 * time.Minute // one client, all its checks, under the race detector beside three others
)

// clients are the programs that partners point at us instead of Firecrawl. Each runs unchanged, at the version that
// testdata/sdk/package.json pins, with a script that makes named checks.
var clients = []struct {
	name, script string
	args         []string
	checks       int // so that a script that ends early is not a pass
}{
	{"v2", "v2.mjs", nil, 27},
	{"v1", "v1.mjs", nil, 14},
	{"v1 as version 4 carries it", "v1.mjs", []string{"frozen"}, 14},
	{"mcp", "mcp.mjs", nil, 6},
}

func TestFirecrawlClients(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: installs npm packages")
	}
	dir := installClients(t)
	// Some checks need a job that is under way, and all clients ask for the same few pages: memory would end it at once.
	forgetful := func(c *hub.Config) { c.Crawl = func(c *crawler.Config) { c.Fresh = -1 } }
	testnet.Run(t, testnet.Config{Edges: 3, Partners: len(clients), Hub: forgetful}, func(_ context.Context, n *testnet.Net) {
		t.Run("clients", func(t *testing.T) { // waits for all of them before the network goes
			for i, client := range clients {
				t.Run(client.name, func(t *testing.T) {
					t.Parallel()
					made := runScript(t, dir, n, n.Partners[i], append([]string{client.script}, client.args...))
					if made != client.checks {
						t.Errorf("%s made %d checks, want %d", client.script, made, client.checks)
					}
				})
			}
		})
	})
}

// runScript runs one client and reports each of its checks.
func runScript(t *testing.T, dir string, n *testnet.Net, p testnet.Partner, args []string) (made int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SWARD_API="+n.Info().API, "SWARD_KEY="+p.Key, "SWARD_SITE="+n.Info().Site)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("node %s: %v\n%s", args[0], err, stderr.Bytes())
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var check struct {
			Name, Error string
			MS          int
		}
		if err := json.Unmarshal(lines.Bytes(), &check); err != nil {
			continue // the clients print warnings of their own
		}
		made++
		if check.Error != "" {
			t.Errorf("%s (%d ms): %s", check.Name, check.MS, check.Error)
			continue
		}
		t.Logf("ok %s (%d ms)", check.Name, check.MS)
	}
	return made
}

// installClients returns a folder with the scripts and the packages they need. The packages are installed once for each
// version of package.json and kept in the user's cache.
func installClients(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: the clients need %s", tool)
		}
	}
	manifest, err := os.ReadFile("testdata/sdk/package.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	at := filepath.Join(cache, "sward-test", fmt.Sprintf("npm-%x", sha256.Sum256(manifest))[:16])
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		install(t, manifest, at)
	} else if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = os.CopyFS(dir, os.DirFS("testdata/sdk"))
	if err == nil {
		err = os.Symlink(filepath.Join(at, "node_modules"), filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// install fills a folder beside at and renames it: what stands at at is complete.
func install(t *testing.T, manifest []byte, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(at), "installing-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "package.json"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), installTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: npm cannot install the clients: %v\n%s", err, out)
	}
	if err := os.Rename(dir, at); err != nil && !errors.Is(err, fs.ErrExist) { // another test was quicker
		t.Fatal(err)
	}
}
