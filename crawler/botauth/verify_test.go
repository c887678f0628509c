package botauth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// verifier is the npm package of RFC 9421 that web-bot-auth is built on. No Go module of the kind is on the proxy.
const verifier = "http-message-sig@0.3.0"

// TestAnotherImplementationVerifies has http-message-sig check a request and the directory.
func TestAnotherImplementationVerifies(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: installs an npm package")
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	dir := filepath.Join(cache, "sward-test", strings.ReplaceAll(verifier, "@", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "http-message-sig")); err != nil {
		install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--prefix", dir, verifier)
		if out, err := install.CombinedOutput(); err != nil {
			t.Skipf("skipped: npm cannot install it: %v\n%s", err, out)
		}
	}
	script, err := os.ReadFile("testdata/verify.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "verify.mjs"), script, 0o644); err != nil { // beside node_modules: modules are found from there
		t.Fatal(err)
	}

	now := time.Now()
	r := openRing(t, filepath.Join(t.TempDir(), "keys"), &now)
	f, err := r.Sign("site.example", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", public+DirectoryPath, nil))
	type message struct {
		URI    string            `json:"uri"`
		Fields map[string]string `json:"fields"`
		Body   string            `json:"body,omitempty"`
	}
	given := map[string]message{
		"request":   {URI: "https://site.example/a?b", Fields: map[string]string{"Signature-Agent": f.Agent, "Signature-Input": f.Input, "Signature": f.Signature}},
		"directory": {URI: public + DirectoryPath, Body: w.Body.String(), Fields: map[string]string{}},
	}
	for _, name := range []string{"Content-Digest", "Signature-Input", "Signature"} {
		given["directory"].Fields[name] = w.Header().Get(name)
	}
	run := func() (string, error) {
		in, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		node := exec.CommandContext(ctx, "node", "verify.mjs")
		node.Dir, node.Stdin = dir, bytes.NewReader(in)
		out, err := node.CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err != nil || !strings.Contains(out, "verified") {
		t.Fatalf("not verified: %v\n%s", err, out)
	}
	given["request"] = message{URI: "https://other.example/", Fields: given["request"].Fields}
	if out, err := run(); err == nil {
		t.Errorf("a signature for one authority is good for another: %s", out)
	}
}
