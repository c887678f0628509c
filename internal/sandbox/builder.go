package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sward/accounting"
	"sward/edge"
	"sward/edge/dashboard"
	"sward/internal/daemon"
	"sward/internal/geo"
	"sward/internal/hub"
	"sward/internal/identity"
	"sward/internal/outside"
	"sward/internal/tunnel"
	"sward/policy"
	"sward/relay"
)

// builder is what Run needs while it builds.
type builder struct {
	*Sandbox
	stages  [][]daemon.Worker // in the order in which they start
	closers []func() error
	roots   *x509.CertPool
	door    tls.Certificate // of the proxy doors in TLS
	hubKey  identity.Key
	hubAddr string
}

func (b *builder) close() error {
	var failed error
	for i := len(b.closers) - 1; i >= 0; i-- {
		failed = errors.Join(failed, b.closers[i]())
	}
	return failed
}

func (b *builder) add(name string, run func(context.Context) error) {
	last := len(b.stages) - 1
	b.stages[last] = append(b.stages[last], daemon.Worker{Name: name, Run: run})
}

// listen opens a TCP listener that is closed with the sandbox, if its owner has not closed it before.
func (b *builder) listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() error { l.Close(); return nil })
	return l, nil
}

// site serves the web site and gives it a name and an address in the world.
func (b *builder) site(ctx context.Context) error {
	plain, err := b.listen(ctx, "")
	if err != nil {
		return err
	}
	secure, err := b.listen(ctx, "")
	if err != nil {
		return err
	}
	handler := b.cfg.Handler
	switch {
	case handler != nil:
	case b.cfg.Site != nil:
		handler = Folder(b.cfg.Site)
	default:
		if handler, err = Manual(b.cfg.Manual, "http://"+SiteName); err != nil {
			return err
		}
	}
	made, err := authority(b.cfg.Clock(), SiteName)
	if err != nil {
		return err
	}
	b.door = made.door
	b.info.CA = filepath.Join(b.cfg.Dir, "ca.pem")
	if err := daemon.WriteFile(b.info.CA, made.ca, 0o644); err != nil {
		return err
	}
	b.roots = x509.NewCertPool()
	b.roots.AppendCertsFromPEM(made.ca)
	b.world.Name(SiteName, siteAddress)
	b.world.Name(TrapName, trapAddress)
	b.world.Host(netip.AddrPortFrom(siteAddress, 80), plain.Addr().String())
	b.world.Host(netip.AddrPortFrom(siteAddress, 443), secure.Addr().String())
	if b.cfg.World != nil {
		b.cfg.World(b.world)
	}
	b.info.Site, b.info.SiteTLS = "http://"+SiteName, "https://"+SiteName
	b.add("site", func(ctx context.Context) error { return serveSite(ctx, handler, plain, secure, made.site) })
	return nil
}

// makeHub makes the hub, and the site that the network works on.
func (b *builder) makeHub(ctx context.Context) error {
	if err := b.site(ctx); err != nil {
		return err
	}
	dir := filepath.Join(b.cfg.Dir, "hub")
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	b.hubKey = key
	cfg := hub.Config{
		Dir: dir, Key: key, Network: b.cfg.Network, Consents: []accounting.Hash{edge.ConsentHash()},
		Clock: b.cfg.Clock, Log: b.cfg.Log.With("role", "hub"), Roots: b.roots,
		Delay:  5 * time.Millisecond, // the site is on this machine, and is ours
		Limits: accounting.Unlimited(),
		Outside: outside.Dialer{
			Resolve: b.world.Resolve, Dial: b.world.Dial, Gate: func() policy.Gate { return policy.Gate{} },
		},
	}
	for _, l := range []struct {
		to *net.Listener
		at string
	}{{&cfg.Internal, b.cfg.Internal}, {&cfg.API, b.cfg.API}, {&cfg.Search, b.cfg.Search}} {
		if *l.to, err = b.listen(ctx, l.at); err != nil {
			return err
		}
	}
	if b.cfg.Hub != nil {
		b.cfg.Hub(&cfg)
	}
	h, err := hub.Open(cfg)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, h.Close)
	b.Sandbox.hub, b.hubAddr = h, cfg.Internal.Addr().String()
	b.info.API, b.info.Search = "http://"+cfg.API.Addr().String(), "http://"+cfg.Search.Addr().String()
	for _, w := range h.Workers() {
		b.add(w.Name, w.Run)
	}
	b.info.Hub, err = b.debug(ctx, "hub", h.Metrics())
	return err
}

// debug runs a role's debug server and returns its base URL.
func (b *builder) debug(ctx context.Context, role string, collectors []prometheus.Collector) (string, error) {
	l, err := b.listen(ctx, "")
	if err != nil {
		return "", err
	}
	registry := prometheus.NewRegistry()
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return "", err
		}
	}
	w := daemon.Debug(l, registry)
	b.add("debug "+role, w.Run)
	return "http://" + l.Addr().String(), nil
}

func (b *builder) client(key identity.Key) *accounting.Client {
	c := &accounting.Client{Addr: b.hubAddr, Network: b.cfg.Network, Hub: b.hubKey.ID(), Key: key, Clock: b.cfg.Clock}
	b.closers = append(b.closers, func() error { c.Close(); return nil })
	return c
}

func (b *builder) makeRelays(ctx context.Context) error {
	places, err := b.places()
	if err != nil {
		return err
	}
	for n := range b.cfg.Relays {
		dir := filepath.Join(b.cfg.Dir, "relays", strconv.Itoa(n))
		key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
		if err != nil {
			return err
		}
		udp, tcp, err := tunnel.OpenPort(ctx, "127.0.0.1:0")
		if err != nil {
			return err
		}
		b.closers = append(b.closers, func() error { udp.Close(); tcp.Close(); return nil })
		address, addressTLS := "", ""
		if n == 0 {
			address, addressTLS = b.cfg.Proxy, b.cfg.ProxyTLS
		}
		door, err := b.listen(ctx, address)
		if err != nil {
			return err
		}
		doorTLS, err := b.listen(ctx, addressTLS)
		if err != nil {
			return err
		}
		doorH3, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		b.closers = append(b.closers, func() error { doorH3.Close(); return nil })
		cfg := relay.Config{
			Key: key, Network: b.cfg.Network, PacketConn: udp, TunnelListener: tcp, Listener: door, Dir: filepath.Join(dir, "spool"),
			Limits: relay.NoLimits(), // as above
			Tunnel: udp.LocalAddr().String(), Proxy: door.Addr().String(), Region: "sandbox",
			Sessions: filepath.Join(dir, "sessions"), Place: func(id identity.ID, _ netip.Addr) geo.Place { return places[id] },
			Hub: b.client(key), HubID: b.hubKey.ID(), Clock: b.cfg.Clock, Log: b.cfg.Log.With("role", "relay"),
			Door: relay.Door{TLS: doorTLS, PacketConn: doorH3, Certificates: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return &b.door, nil
			}},
		}
		if b.cfg.Relay != nil {
			b.cfg.Relay(n, &cfg)
		}
		r, err := relay.New(cfg)
		if err != nil {
			return err
		}
		err = b.Sandbox.hub.Book.AdmitRelay(ctx, accounting.RelayInfo{ID: key.ID(), Proxy: cfg.Proxy, Tunnel: cfg.Tunnel, Region: cfg.Region})
		if err != nil {
			return fmt.Errorf("admit relay: %w", err)
		}
		b.Sandbox.relays = append(b.Sandbox.relays, r)
		b.add("relay", r.Run)
		debug, err := b.debug(ctx, "relay", r.Metrics())
		if err != nil {
			return err
		}
		if n == 0 {
			b.info.Relay, b.info.Proxy, b.info.Socks = debug, "http://"+cfg.Proxy, cfg.Proxy
			b.info.ProxyTLS, b.info.ProxyH3 = "https://"+doorTLS.Addr().String(), doorH3.LocalAddr().String()
		}
	}
	return nil
}

func (b *builder) makeEdges(ctx context.Context) error {
	for n := range b.cfg.Edges {
		dir := b.edgeDir(n)
		key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
		if err != nil {
			return err
		}
		l, err := b.listen(ctx, "")
		if err != nil {
			return err
		}
		settings := edge.DefaultSettings()
		settings.Caps, settings.Streams, settings.PauseOn = edge.Caps{}, 256, edge.PauseOn{} // nobody's line is used
		cfg := edge.Config{
			Key: key, Network: b.cfg.Network, Dir: dir, Hub: b.client(key),
			Settings: settings, Roots: b.roots,
			Resolve: b.world.Resolve, Dial: b.world.Dial,
			Clock: b.cfg.Clock, Log: b.cfg.Log.With("role", "edge"),
		}
		if b.cfg.Edge != nil {
			b.cfg.Edge(n, &cfg)
		}
		e, err := edge.New(cfg)
		if err != nil {
			return err
		}
		b.Sandbox.edges = append(b.Sandbox.edges, e)
		b.add("edge", func(ctx context.Context) error {
			if err := b.consent(ctx, cfg); err != nil {
				return err
			}
			return e.Run(ctx)
		})
		board, err := dashboard.New(dashboard.Config{Edge: e, Listener: l, Dir: cfg.Dir, Log: cfg.Log})
		if err != nil {
			return err
		}
		b.add("dashboard", board.Run)
		b.info.Edges = append(b.info.Edges, EdgeInfo{
			ID: key.ID().String(), Country: homes[n%len(homes)].Country, Dashboard: "http://" + l.Addr().String(),
		})
	}
	return nil
}

// homes are where the sandbox's edges are said to be, in turn: all of them are on one machine, and a partner is to see
// what choosing a place does.
var homes = []geo.Place{
	{Country: "de", Region: "berlin", RegionCode: "be", City: "berlin", ASN: 3320, Org: "Deutsche Telekom AG", Class: geo.Residential},
	{Country: "fr", Region: "iledefrance", RegionCode: "idf", City: "paris", ASN: 3215, Org: "Orange S.A.", Class: geo.Residential},
	{Country: "us", Region: "california", RegionCode: "ca", City: "losangeles", ASN: 7922, Org: "Comcast Cable Communications, LLC", Class: geo.Residential},
}

// places lays the edges out over homes. Their keys are made here, before the edges are.
func (b *builder) places() (map[identity.ID]geo.Place, error) {
	places := map[identity.ID]geo.Place{}
	for n := range b.cfg.Edges {
		key, err := identity.LoadOrCreateKey(filepath.Join(b.edgeDir(n), "key"))
		if err != nil {
			return nil, err
		}
		places[key.ID()] = homes[n%len(homes)]
	}
	return places, nil
}

// consent agrees for an edge of the sandbox the way an owner without a terminal does: with a code that the operator
// issued. Whoever runs a sandbox is both.
func (b *builder) consent(ctx context.Context, cfg edge.Config) error {
	if agreed, err := edge.Agreed(cfg.Dir); err != nil || agreed {
		return err
	}
	invite, err := b.Sandbox.hub.Book.Invite(ctx)
	if err != nil {
		return err
	}
	return edge.AgreeByCode(ctx, cfg.Dir, cfg.Hub, invite.Code, cfg.Clock())
}

// finish waits for all edges, gives the partner its credit, and writes sandbox.json.
func (b *builder) finish(ctx context.Context) error {
	if err := b.partner(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tunnels := b.cfg.Edges * min(len(b.Sandbox.relays), edge.MaxRelays)
	for {
		up := 0
		for _, r := range b.Sandbox.relays {
			up += r.Ready()
		}
		if up >= tunnels {
			break
		}
		select {
		case <-waiting.Done():
			return fmt.Errorf("%d of %d tunnels are up after %s", up, tunnels, readyWait)
		case <-time.After(readyPoll):
		}
	}
	if err := b.tokens(waiting); err != nil {
		return err
	}
	b.mu.Lock()
	data, err := json.MarshalIndent(b.info, "", "  ")
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if err := daemon.WriteFile(filepath.Join(b.cfg.Dir, infoFile), append(data, '\n'), 0o600); err != nil {
		return err
	}
	close(b.ready)
	return nil
}

// tokens reads what each edge's dashboard asks for, once the edges run.
func (b *builder) tokens(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range b.info.Edges {
		control, err := dashboard.ReadControl(b.edgeDir(n))
		for errors.Is(err, os.ErrNotExist) && ctx.Err() == nil {
			time.Sleep(readyPoll)
			control, err = dashboard.ReadControl(b.edgeDir(n))
		}
		if err != nil {
			return err
		}
		b.info.Edges[n].Token = control.Token
	}
	return nil
}

func (b *builder) edgeDir(n int) string { return filepath.Join(b.cfg.Dir, "edges", strconv.Itoa(n)) }

// partner opens the sandbox's account, or finds the key of an earlier run.
func (b *builder) partner(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info.Partner = b.cfg.Partner
	file := filepath.Join(b.cfg.Dir, "partner."+b.cfg.Partner)
	if data, err := os.ReadFile(file); err == nil {
		key := strings.TrimSpace(string(data))
		if _, err := b.Sandbox.hub.Book.PartnerByKey(ctx, key); err == nil {
			b.info.Key = key
			return nil
		}
	}
	key, err := b.Sandbox.hub.Book.AddPartner(ctx, b.cfg.Partner, startPurpose.Code())
	if err != nil {
		return err
	}
	b.info.Key = key
	if err := daemon.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		return err
	}
	return b.Sandbox.hub.Book.Credit(ctx, b.cfg.Partner, startCredit)
}
