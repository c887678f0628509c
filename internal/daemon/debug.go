package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// debugHeaderTimeout: the callers are on this machine, so a header that takes
// longer is not coming.
const debugHeaderTimeout = 5 * time.Second

// Debug serves /metrics of reg, /debug/pprof/ and /healthz on l until its
// context ends, and closes l. A profile holds keys and addresses, so it refuses
// to run on anything but a loopback address, and refuses requests that name
// another host: a web page whose name was rebound to 127.0.0.1 learns nothing.
func Debug(l net.Listener, reg *prometheus.Registry) Worker {
	return Worker{Name: "debug", Run: func(ctx context.Context) error {
		if !loopback(l.Addr().String()) {
			l.Close()
			return fmt.Errorf("serve debug on %s: not a loopback address", l.Addr())
		}
		server := &http.Server{Handler: localOnly(debugMux(reg)), ReadHeaderTimeout: debugHeaderTimeout}
		stop := context.AfterFunc(ctx, func() { server.Close() })
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve debug: %w", err)
		}
		return nil
	}}
}

func debugMux(reg *prometheus.Registry) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }) //nolint:errcheck // who asked has gone
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			http.Error(w, "this is served to loopback names only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether hostport, with or without a port, is this machine.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
