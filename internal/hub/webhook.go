package hub

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"sward/crawler"
	"sward/internal/daemon"
	"sward/internal/outside"
	"sward/policy"
)

const (
	hookKeyFile = "webhook.key"
	hookKeySize = 32 // bytes: a key of HMAC-SHA256
	hookSecret  = "whs_"
)

// hooks is how the hub calls buyers' webhooks: through the gate that every dial passes, signed with a secret that only the
// buyer and the hub know.
type hooks struct {
	way outside.Dialer
	key []byte
}

// newHooks reads the key that all secrets are made of, or makes it.
func newHooks(dir string, way outside.Dialer) (hooks, error) {
	if way.Gate == nil {
		way = outside.New(func() policy.Gate { return policy.Gate{Own: outside.Own()} })
	}
	name := filepath.Join(dir, hookKeyFile)
	key, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, hookKeySize)
		rand.Read(key)
		err = daemon.WriteFile(name, key, 0o600)
	}
	if err == nil && len(key) != hookKeySize {
		err = fmt.Errorf("%s has %d bytes instead of %d: restore it, or remove it and tell the partners their new secrets", name, len(key), hookKeySize)
	}
	return hooks{way, key}, err
}

// dial connects to a webhook's server.
func (h hooks) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	target, err := policy.ParseTarget(hostport)
	if err != nil {
		return nil, err
	}
	return h.way.Open(ctx, target)
}

// secret is what calls for an account are signed with. It follows from the account, so there is nothing to store or to lose
// but the key.
func (h hooks) secret(a crawler.Account) string {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte("sward webhook secret\n" + a.ID))
	return hookSecret + hex.EncodeToString(mac.Sum(nil))
}

// getWebhook tells a partner how its calls are signed.
func (h *Hub) getWebhook(w http.ResponseWriter, r *http.Request) {
	partner, err := h.bearer(r)
	if err != nil {
		h.refuseUsage(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]string{
		"secret": h.hooks.secret(crawler.Account{ID: partner.Name}), "header": "X-Firecrawl-Signature",
		"form": "sha256= and the HMAC-SHA256 of the body under the secret, in hexadecimal",
	})
}
