package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"sward/internal/tunnel"
	"sward/internal/wire"
)

const (
	// nodePath is where browsers' nodes upgrade to a WebSocket.
	nodePath = "/v1/node"
	// nodeHeadWait bounds a request's head, in time and in bytes: a browser sends one packet.
	nodeHeadWait = 10 * time.Second
	nodeHead     = 16 << 10
	// maxNodes bounds the connections of browsers, those that have not said who they are included.
	maxNodes = 4096
)

// serveNodes lets the edges in that live in browsers, until ctx ends. Their sessions end with lasting.
func (r *Relay) serveNodes(ctx, lasting context.Context) error {
	var (
		mu       sync.Mutex
		closing  bool
		sessions sync.WaitGroup // the server knows an upgraded connection no more
	)
	enter := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if !closing {
			sessions.Add(1)
		}
		return !closing
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+nodePath, func(w http.ResponseWriter, q *http.Request) {
		if !enter() {
			http.Error(w, "the relay is stopping", http.StatusServiceUnavailable)
			return
		}
		defer sessions.Done()
		r.serveNode(lasting, w, q)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: nodeHeadWait, MaxHeaderBytes: nodeHead}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(netutil.LimitListener(r.cfg.Nodes, maxNodes))
	mu.Lock()
	closing = true
	mu.Unlock()
	sessions.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve nodes: %w", err)
}

func (r *Relay) serveNode(ctx context.Context, w http.ResponseWriter, q *http.Request) {
	s, hello, err := tunnel.AcceptNode(ctx, tunnel.Config{Key: r.cfg.Key, Network: r.cfg.Network, Log: r.cfg.Log}, w, q)
	if err != nil {
		r.cfg.Log.Debug("a browser's node was refused", "err", err)
		return
	}
	r.serve(ctx, nodeLine{s}, hello, classExtension)
	s.Close(wire.OK, "")
}

// defaultResolve asks the system's DNS servers with Go's own resolver. The trailing dot keeps search lists out.
func defaultResolve(ctx context.Context, name string) ([]netip.Addr, error) {
	resolver := net.Resolver{PreferGo: true}
	addrs, err := resolver.LookupNetIP(ctx, "ip", name+".")
	if err != nil {
		return nil, fmt.Errorf("resolve for a node: %w", err)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap() // the resolver hands out IPv4 in either form
	}
	return addrs, nil
}
