package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestDebugServesMetricsHealthAndProfiles(t *testing.T) {
	reg := prometheus.NewRegistry()
	edges := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sward_edges", Help: "Edges on this relay."})
	edges.Set(3)
	reg.MustRegister(edges)
	url := serveDebug(t, reg)

	for path, want := range map[string]string{
		"/metrics":                       "sward_edges 3",
		"/healthz":                       "ok",
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		status, body := get(t, url+path, "")
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: status %d, want 200 with %q in:\n%.300s", path, status, want, body)
		}
	}
}

func TestDebugRefusesReboundNames(t *testing.T) {
	url := serveDebug(t, prometheus.NewRegistry())
	for host, want := range map[string]int{
		"evil.example":      http.StatusForbidden,
		"127.0.0.1.example": http.StatusForbidden,
		"192.168.1.1:80":    http.StatusForbidden,
		"localhost:9":       http.StatusOK,
		"[::1]:9":           http.StatusOK,
	} {
		if got, _ := get(t, url+"/healthz", host); got != want {
			t.Errorf("Host %s: status %d, want %d", host, got, want)
		}
	}
}

func TestDebugRefusesOpenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := Debug(l, prometheus.NewRegistry()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("got %v, want a refusal", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

func serveDebug(t *testing.T, reg *prometheus.Registry) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Debug(l, reg).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("debug worker ended with %v, want nil", err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
