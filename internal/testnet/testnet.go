// Package testnet is the whole network in a test: testnet.Run starts the real roles in one process, calls a function
// with them, and stops them. Hooks change one peer (a lying edge, a stalling partner, an endless site).
//
// It is the sandbox with a test's clean-up and a few hands to hold things with; nothing in it stands in for a real part.
package testnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"sward/docs"
	"sward/edge"
	"sward/internal/hub"
	"sward/internal/sandbox"
	"sward/policy"
	"sward/relay"
)

const (
	startWait = 60 * time.Second // under the race detector on two busy cores
	stopWait  = 60 * time.Second
	credit    = 10 << 30 // bytes that each partner has to spend
)

// Config is the network a test wants. The zero value is one relay, one edge and one partner, and the manual as the site.
type Config struct {
	Relays, Edges, Partners int

	Dir  string       // state, to start again on; default: a temporary one
	Site http.Handler // default: the manual

	Hub   func(*hub.Config)
	Relay func(n int, c *relay.Config)
	Edge  func(n int, c *edge.Config)
	World func(*sandbox.World)
}

// Net is a running network.
type Net struct {
	*sandbox.Sandbox
	Partners []Partner
}

// Partner is an account with credit.
type Partner struct{ Name, Key string }

// Run starts a network, calls do with it, and stops it. The context ends with do, and with the test's deadline.
func Run(t testing.TB, cfg Config, do func(ctx context.Context, n *Net)) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	level := slog.LevelError
	if os.Getenv("SWARD_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	box, err := sandbox.New(sandbox.Config{
		Dir: cfg.Dir, Network: "test", Relays: max(cfg.Relays, 1), Edges: max(cfg.Edges, 1),
		Handler: cfg.Site, Manual: docs.Manual, Hub: cfg.Hub, Relay: cfg.Relay, Edge: cfg.Edge, World: cfg.World,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- box.Run(ctx) }()
	defer func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the network ended with: %v", err)
			}
		case <-time.After(stopWait):
			t.Errorf("the network has not stopped %s after it was told to", stopWait)
		}
	}()
	select {
	case <-box.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("the network did not start: %v", err)
	case <-time.After(startWait):
		t.Fatalf("the network has not started after %s", startWait)
	}
	n := &Net{Sandbox: box, Partners: []Partner{{box.Info().Partner, box.Info().Key}}}
	for i := 1; i < cfg.Partners; i++ {
		n.Partners = append(n.Partners, n.addPartner(ctx, t, fmt.Sprintf("partner-%d", i), credit))
	}
	do(ctx, n)
}

// addPartner opens an account with the given credit in bytes.
func (n *Net) addPartner(ctx context.Context, t testing.TB, name string, bytes uint64) Partner {
	t.Helper()
	key, err := n.Hub().Book.AddPartner(ctx, name, policy.Purpose("market-research").Code())
	if err == nil && bytes > 0 {
		err = n.Hub().Book.Credit(ctx, name, bytes)
	}
	if err != nil {
		t.Fatalf("add partner %s: %v", name, err)
	}
	return Partner{name, key}
}

// Client is an HTTP client that goes through the proxy as p and trusts the site's certificate.
func (n *Net) Client(t testing.TB, p Partner) *http.Client {
	t.Helper()
	door, err := url.Parse(n.Info().Proxy)
	if err != nil {
		t.Fatal(err)
	}
	door.User = url.UserPassword(p.Name, p.Key)
	transport := &http.Transport{
		Proxy:           http.ProxyURL(door),
		TLSClientConfig: &tls.Config{RootCAs: n.roots(t), MinVersion: tls.VersionTLS12},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func (n *Net) roots(t testing.TB) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(n.Info().CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}
