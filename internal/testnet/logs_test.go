package testnet_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sward/edge"
	"sward/internal/hub"
	"sward/internal/sandbox"
	"sward/internal/testnet"
	"sward/relay"
)

// said is what programs log, for a test to search.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// O06: what a partner asks for, and with which secrets, is in nobody's log at the level at which programs run.
func TestLogsTellNothingOfWhatPassed(t *testing.T) {
	var logs said
	log := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelInfo}))
	cfg := testnet.Config{
		Hub:   func(c *hub.Config) { c.Log = log },
		Relay: func(_ int, c *relay.Config) { c.Log = log },
		Edge:  func(_ int, c *edge.Config) { c.Log = log },
	}
	var key string
	testnet.Run(t, cfg, func(ctx context.Context, n *testnet.Net) {
		key = n.Partners[0].Key
		client := n.Client(t, n.Partners[0])
		for _, url := range []string{
			n.Info().Site + "/secret-path?token=hunter2", n.Info().SiteTLS + "/secret-path?token=hunter2",
			"http://" + sandbox.TrapName + "/private-path", "http://127.0.0.1/private-path", "http://nowhere.example/private-path",
		} {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", "session=cookie-value")
			if answer, err := client.Do(r); err == nil {
				answer.Body.Close()
			}
		}
		stranger := n.Client(t, testnet.Partner{Name: n.Partners[0].Name, Key: "guessed-secret"})
		if answer, err := stranger.Get(n.Info().Site + "/"); err == nil {
			answer.Body.Close()
		}
		scrape, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Info().API+"/v2/scrape",
			strings.NewReader(fmt.Sprintf(`{"url": "%s/secret-path?token=hunter2"}`, n.Info().Site)))
		if err != nil {
			t.Fatal(err)
		}
		scrape.Header.Set("Authorization", "Bearer "+key)
		scrape.Header.Set("Content-Type", "application/json")
		if answer, err := http.DefaultClient.Do(scrape); err == nil {
			answer.Body.Close()
		}
		client.CloseIdleConnections()
		stranger.CloseIdleConnections()
	})
	text := logs.String()
	if !strings.Contains(text, "level=INFO") {
		t.Fatalf("nothing was logged at all:\n%s", text)
	}
	for _, secret := range []string{
		"secret-path", "hunter2", "private-path", "cookie-value", "guessed-secret", key, sandbox.SiteName, sandbox.TrapName, "nowhere.example",
	} {
		if strings.Contains(text, secret) {
			for line := range strings.Lines(text) {
				if strings.Contains(line, secret) {
					t.Errorf("the log has %.12q…: %s", secret, line)
				}
			}
		}
	}
}

// O05: whatever prints a role's configuration or a panic's values prints no key.
func TestNoKeyIsPrinted(t *testing.T) {
	key := newKey(t)
	private, err := key.Libp2p()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := private.Raw()
	if err != nil {
		t.Fatal(err)
	}
	head := string(raw[:8])
	numbers := fmt.Sprintf("%d", raw[:8]) // "[1 2 3]"
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, value := range []any{key, &key, edge.Config{Key: key}, relay.Config{Key: key}, []any{key}} {
			text := fmt.Sprintf(format, value)
			for _, form := range []string{fmt.Sprintf("%x", raw[:8]), strings.Trim(numbers, "[]"), head} {
				if strings.Contains(text, form) {
					t.Errorf("%s of %T prints the key", format, value)
				}
			}
		}
	}
}
