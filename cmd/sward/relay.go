package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sward/accounting"
	"sward/internal/daemon"
	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/relay"
)

// relayFile is relay.yaml. Flags override it.
type relayFile struct {
	Network   string      `yaml:"network"`
	Hub       string      `yaml:"hub"`
	HubID     identity.ID `yaml:"hub_id"`
	Tunnel    string      `yaml:"tunnel"`
	Proxy     string      `yaml:"proxy"`
	ProxyTLS  string      `yaml:"proxy_tls"`
	ProxyH3   string      `yaml:"proxy_h3"`
	Cert      string      `yaml:"cert"`
	CertKey   string      `yaml:"cert_key"`
	Nodes     string      `yaml:"nodes"`
	Reach     string      `yaml:"reach"`
	Advertise string      `yaml:"advertise"`
	Region    string      `yaml:"region"`

	Geo        []string           `yaml:"geo"`        // databases of places, in MaxMind's format
	Blocklists []string           `yaml:"blocklists"` // files of hosts that nobody may reach
	Limits     relay.LimitsConfig `yaml:"limits"`     // negative: none

	Debug     string `yaml:"debug"`
	Log       string `yaml:"log"`
	LogFormat string `yaml:"log_format"`
}

func defaultRelayFile() relayFile {
	return relayFile{
		Network: "main", Tunnel: "0.0.0.0:7443", Proxy: "127.0.0.1:7480", Debug: "127.0.0.1:7483", Log: "info", LogFormat: "text",
		Geo: []string{}, Blocklists: []string{}, Limits: relay.DefaultLimits(),
	}
}

// check finds what a relay cannot keep to.
func (f relayFile) check() error {
	if err := identity.CheckNetwork(f.Network); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if f.Hub == "" || f.HubID.IsZero() {
		return errors.New("no hub: give --hub and --hub-id, or hub and hub_id in relay.yaml")
	}
	if _, _, err := net.SplitHostPort(f.Hub); err != nil {
		return fmt.Errorf("hub: %q is not host:port", f.Hub)
	}
	switch doors := f.ProxyTLS != "" || f.ProxyH3 != ""; {
	case doors && (f.Cert == "" || f.CertKey == ""):
		return errors.New("a door in TLS needs a certificate: give --cert and --key, or cert and cert_key in relay.yaml")
	case !doors && (f.Cert != "" || f.CertKey != ""):
		return errors.New("a certificate needs a door: give --proxy-tls or --proxy-h3, or proxy_tls or proxy_h3 in relay.yaml")
	}
	return nil
}

func relayCommand() *cobra.Command {
	var dir, hubID string
	file := defaultRelayFile()
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Run a relay: tunnels for edges, the proxy door for partners",
		Long:  "Run a relay: it keeps edges' tunnels, is the partners' proxy door, meters, and co-signs receipts.\n\nSettings come from DIR/relay.yaml, if it is there, and from flags, which win. The hub must have admitted this relay's\nidentity (sward admit).",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadUnder(cmd, filepath.Join(dir, "relay.yaml"), &file); err != nil {
				return err
			}
			if hubID != "" {
				id, err := identity.ParseID(hubID)
				if err != nil {
					return fmt.Errorf("--hub-id: %w", err)
				}
				file.HubID = id
			}
			return runRelay(cmd, dir, file)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "relay", "directory of the relay's state")
	f.StringVar(&file.Network, "network", file.Network, "name of the network, part of every signature")
	f.StringVar(&file.Hub, "hub", file.Hub, "host:port of the hub's internal address")
	f.StringVar(&hubID, "hub-id", "", "the hub's identity, pinned")
	f.StringVar(&file.Tunnel, "tunnel", file.Tunnel, "UDP and TCP address for edges' tunnels; 443 is the port that the most networks let through")
	f.StringVar(&file.Proxy, "proxy", file.Proxy, "TCP address of the partners' door")
	f.StringVar(&file.ProxyTLS, "proxy-tls", file.ProxyTLS, "TCP address of the partners' door in TLS, with HTTP/2 (default: none)")
	f.StringVar(&file.ProxyH3, "proxy-h3", file.ProxyH3, "UDP address of the partners' door for HTTP/3 (default: none)")
	f.StringVar(&file.Cert, "cert", file.Cert, "PEM file of those doors' certificate and its chain, read again when it changes")
	f.StringVar(&file.CertKey, "key", file.CertKey, "PEM file of its key")
	f.StringVar(&file.Nodes, "nodes", file.Nodes, "TCP address for browser nodes (WebSocket), behind a proxy that ends TLS (default: none)")
	f.StringVar(&file.Reach, "reach", file.Reach, "UDP and TCP address of the libp2p host, by which relays get to edges of each other (default: none)")
	f.StringVar(&file.Advertise, "advertise", file.Advertise, "host at which edges and partners reach this relay (default: as listened)")
	f.StringVar(&file.Region, "region", file.Region, "where this relay stands, for the directory")
	f.StringSliceVar(&file.Geo, "geo", file.Geo, "databases of places (.mmdb), read again when they change (default: none, and nobody can choose a place)")
	f.StringSliceVar(&file.Blocklists, "blocklist", file.Blocklists, "files of hosts that nobody may reach, read again when they change")
	f.StringVar(&file.Debug, "debug", file.Debug, "loopback address of metrics and pprof")
	f.StringVar(&file.Log, "log", file.Log, "log level: debug, info, warn, error")
	f.StringVar(&file.LogFormat, "log-format", file.LogFormat, "log format: text, json")
	return cmd
}

func runRelay(cmd *cobra.Command, dir string, file relayFile) (err error) {
	ctx := cmd.Context()
	log, err := daemon.Logger(cmd.ErrOrStderr(), file.Log, file.LogFormat)
	if err != nil {
		return err
	}
	if err := file.check(); err != nil {
		return err
	}
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	var config net.ListenConfig
	udp, tcp, err := tunnel.OpenPort(ctx, file.Tunnel)
	if err != nil {
		return fmt.Errorf("--tunnel: %w", err)
	}
	defer udp.Close()
	defer tcp.Close() // the relay has closed it before, unless starting failed
	var listeners listeners
	defer func() { err = errors.Join(err, listeners.close()) }()
	door, debug := listeners.open(ctx, file.Proxy), listeners.open(ctx, file.Debug)
	var nodes net.Listener
	if file.Nodes != "" {
		nodes = listeners.open(ctx, file.Nodes)
	}
	doors := relay.Door{}
	if file.ProxyTLS != "" {
		doors.TLS = listeners.open(ctx, file.ProxyTLS)
	}
	if file.ProxyH3 != "" && listeners.failed == nil {
		if doors.PacketConn, err = config.ListenPacket(ctx, "udp", file.ProxyH3); err != nil {
			return err
		}
		defer doors.PacketConn.Close()
	}
	if listeners.failed != nil {
		return listeners.failed
	}
	if file.Cert != "" {
		certificate, err := relay.OpenCertificate(file.Cert, file.CertKey, log)
		if err != nil {
			return err
		}
		doors.Certificates = certificate.Get
	}
	places, err := geo.Open(file.Geo...)
	if err != nil {
		return err
	}
	defer places.Close()
	reached := relay.ReachConfig{Listen: file.Reach}
	if file.Reach != "" && file.Advertise != "" {
		_, port, err := net.SplitHostPort(file.Reach)
		if err != nil {
			return fmt.Errorf("--reach: %w", err)
		}
		reached.Address = net.JoinHostPort(file.Advertise, port)
	}
	hub := &accounting.Client{Addr: file.Hub, Network: file.Network, Hub: file.HubID, Key: key}
	defer hub.Close()
	r, err := relay.New(relay.Config{
		Key: key, Network: file.Network, PacketConn: udp, TunnelListener: tcp, Listener: door, Door: doors, Nodes: nodes,
		Dir: filepath.Join(dir, "spool"), Sessions: filepath.Join(dir, "sessions"), Region: file.Region,
		Geo: places, Blocklists: file.Blocklists, Limits: file.Limits, Reach: reached,
		Tunnel: advertised(file.Advertise, udp.LocalAddr()), Proxy: advertised(file.Advertise, door.Addr()),
		Hub: hub, HubID: file.HubID, Peers: addressesOf(ctx, file.Hub, advertised(file.Advertise, door.Addr())), Log: log,
	})
	if err != nil {
		return err
	}
	log.Info("relay is up", "relay", key.ID().String(), "network", file.Network, "tunnel", udp.LocalAddr().String(), "proxy", door.Addr().String())
	return daemon.Run(ctx, log, daemon.Worker{Name: "relay", Run: r.Run}, daemon.Debug(debug, registry(r.Metrics())))
}

// addressesOf are the addresses behind hosts of the network, which no partner may name as a target. One that does not
// resolve now is left to the edges, which refuse the network's hosts too.
func addressesOf(ctx context.Context, hostports ...string) (all []netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, at := range hostports {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			continue
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host) // a literal is its own answer
		if err != nil {
			continue
		}
		for _, a := range found {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// advertised is at with the host by which others know it.
func advertised(host string, at net.Addr) string {
	if host == "" {
		return at.String()
	}
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return at.String()
	}
	return net.JoinHostPort(host, port)
}
