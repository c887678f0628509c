package hub

import (
	"os"
	"path/filepath"
	"testing"

	"sward/crawler"
	"sward/internal/outside"
	"sward/internal/wire"
)

func TestWebhookSecretOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	first, err := newHooks(dir, outside.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := newHooks(dir, outside.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	one, other := crawler.Account{ID: "one"}, crawler.Account{ID: "other"}
	if first.secret(one) != again.secret(one) || first.secret(one) == first.secret(other) {
		t.Errorf("secrets %s and %s, another's %s: want the same twice and another", first.secret(one), again.secret(one), first.secret(other))
	}
	if err := os.WriteFile(filepath.Join(dir, hookKeyFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newHooks(dir, outside.Dialer{}); err == nil {
		t.Error("a key that was cut is taken, want an error: calls would be signed with another secret")
	}
}

func TestWebhookReachesNoPrivateAddress(t *testing.T) {
	h, err := newHooks(t.TempDir(), outside.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]wire.Code{
		"127.0.0.1:80": wire.DestLoopback, "[::1]:443": wire.DestLoopback, "192.168.1.1:8080": wire.DestPrivate, "169.254.169.254:80": wire.DestLinkLocal,
	} {
		if _, err := h.dial(t.Context(), "tcp", address); wire.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", address, err, want)
		}
	}
}
