package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"sward/internal/bench/rig"
)

// given are the peers that no registry serves: they are measured when an environment variable says where they are, and
// come from the reference otherwise.
func given() []contender {
	return []contender{
		{"frp (quic)", "quic", fromEnvironment("SWARD_BENCH_FRP", openFRP("quic", 9301))},
		{"frp (tcp)", "tls", fromEnvironment("SWARD_BENCH_FRP", openFRP("tcp", 9311))},
		{"chisel", "tls", fromEnvironment("SWARD_BENCH_CHISEL", openChisel)},
		{"gost (relay+quic)", "quic", fromEnvironment("SWARD_BENCH_GOST", openGost)},
		{"hysteria", "quic", fromEnvironment("SWARD_BENCH_HYSTERIA", openHysteria)},
	}
}

func fromEnvironment(name string, open func(ctx context.Context, b *bench, path string) (*service, error)) func(context.Context, *bench) (*service, error) {
	return func(ctx context.Context, b *bench) (*service, error) {
		path := os.Getenv(name)
		if path == "" {
			return nil, fmt.Errorf("%w: %s is not set", rig.ErrMissing, name)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		return open(ctx, b, path)
	}
}

// openFRP wants a directory that holds frps and frpc. The client in the home dials the server in the street, and offers
// its HTTP proxy there.
func openFRP(protocol string, port int) func(context.Context, *bench, string) (*service, error) {
	return func(ctx context.Context, b *bench, dir string) (*service, error) {
		server, err := b.settings("frps-"+protocol+".toml", fmt.Sprintf("bindAddr = %q\nproxyBindAddr = %q\nbindPort = %d\nquicBindPort = %d\nlog.level = \"warn\"\n",
			rig.Street, rig.Street, port, port+1))
		if err != nil {
			return nil, err
		}
		at := port
		if protocol == "quic" {
			at++
		}
		client, err := b.settings("frpc-"+protocol+".toml", fmt.Sprintf(
			"serverAddr = %q\nserverPort = %d\ntransport.protocol = %q\nlog.level = \"warn\"\n[[proxies]]\nname = \"out\"\ntype = \"tcp\"\nremotePort = %d\n[proxies.plugin]\ntype = \"http_proxy\"\n",
			rig.Street, at, protocol, port+2))
		if err != nil {
			return nil, err
		}
		s := &service{via: via{Kind: "http", Addr: fmt.Sprintf("%s:%d", rig.Street, port+2)}}
		return b.launch(ctx, s,
			func() (*rig.Program, error) {
				return b.rig.Street.Start(b.rig.Dir, "frps-"+protocol, filepath.Join(dir, "frps"), "-c", server)
			},
			func() (*rig.Program, error) {
				return b.rig.Home.Start(b.rig.Dir, "frpc-"+protocol, filepath.Join(dir, "frpc"), "-c", client)
			})
	}
}

// openChisel has the client in the home offer SOCKS in the street.
func openChisel(ctx context.Context, b *bench, binary string) (*service, error) {
	socks := net.JoinHostPort(rig.Street, "9322")
	return b.launch(ctx, &service{via: via{Kind: "socks", Addr: socks}},
		func() (*rig.Program, error) {
			return b.rig.Street.Start(b.rig.Dir, "chisel-server", binary, "server", "--host", rig.Street, "--port", "9321", "--reverse")
		},
		func() (*rig.Program, error) {
			return b.rig.Home.Start(b.rig.Dir, "chisel-client", binary, "client", "http://"+rig.Street+":9321", "R:"+socks+":socks")
		})
}

func openGost(ctx context.Context, b *bench, binary string) (*service, error) {
	entry := net.JoinHostPort(rig.Street, "9332")
	return b.launch(ctx, &service{via: via{Kind: "http", Addr: entry}},
		func() (*rig.Program, error) {
			return b.rig.Home.Start(b.rig.Dir, "gost-exit", binary, "-L", "relay+quic://"+rig.Home+":9331")
		},
		func() (*rig.Program, error) {
			return b.rig.Street.Start(b.rig.Dir, "gost-entry", binary, "-L", "http://"+entry, "-F", "relay+quic://"+rig.Home+":9331")
		})
}

func openHysteria(ctx context.Context, b *bench, binary string) (*service, error) {
	certificate, key, err := rig.Certificate(b.rig.Dir, rig.Home)
	if err != nil {
		return nil, err
	}
	server, err := b.settings("hysteria-server.yaml", fmt.Sprintf("listen: %s:9341\ntls: {cert: %s, key: %s}\nauth: {type: password, password: rig}\n", rig.Home, certificate, key))
	if err != nil {
		return nil, err
	}
	entry := net.JoinHostPort(rig.Street, "9342")
	client, err := b.settings("hysteria-client.yaml", fmt.Sprintf("server: %s:9341\nauth: rig\ntls: {insecure: true}\nhttp: {listen: %q}\n", rig.Home, entry))
	if err != nil {
		return nil, err
	}
	return b.launch(ctx, &service{via: via{Kind: "http", Addr: entry}},
		func() (*rig.Program, error) {
			return b.rig.Home.Start(b.rig.Dir, "hysteria-server", binary, "server", "-c", server)
		},
		func() (*rig.Program, error) {
			return b.rig.Street.Start(b.rig.Dir, "hysteria-client", binary, "client", "-c", client)
		})
}
