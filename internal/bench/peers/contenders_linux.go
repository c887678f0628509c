package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sward/internal/bench/rig"
)

// contender is a way from the street to the site that is measured.
type contender struct {
	name string
	kind string // quic, tls, plain, direct: what it is fair to compare it with
	open func(ctx context.Context, b *bench) (*service, error)
}

// service is a contender that runs.
type service struct {
	via      via
	programs []*rig.Program // entry and exit, in the order in which a request meets them
	close    func()
}

func (s *service) stop() {
	if s.close != nil {
		s.close()
		return
	}
	for _, p := range s.programs {
		p.Stop()
	}
}

// contenders in the order of the table.
func contenders() []contender {
	all := []contender{
		{"direct", "direct", func(context.Context, *bench) (*service, error) { return &service{via: via{Kind: "direct"}}, nil }},
		{"Sward", "quic", openSward(false)},
		{"Sward, UDP blocked (TCP)", "tls", openSward(true)},
	}
	for i, protocol := range []struct{ name, kind string }{{"hysteria2", "quic"}, {"tuic", "quic"}, {"trojan", "tls"}, {"anytls", "tls"}} {
		all = append(all, contender{"sing-box " + protocol.name, protocol.kind, singBox(protocol.name, 9100+i)})
	}
	all = append(all,
		contender{"goproxy", "plain", openGoproxy},
		contender{"squid", "plain", openSquid},
		contender{"tinyproxy", "plain", openTinyproxy},
		contender{"dante", "plain", openDante},
	)
	return append(all, given()...)
}

// openSward is the built programs, with a tunnel over QUIC or, where UDP does not get through, over TCP.
func openSward(tcp bool) func(context.Context, *bench) (*service, error) {
	return func(ctx context.Context, b *bench) (*service, error) {
		n, err := b.rig.StartNetwork(ctx, rig.Programs{Bin: b.plan.bin, TCP: tcp})
		if err != nil {
			return nil, err
		}
		if err := n.Age(ctx); err != nil {
			n.Stop()
			return nil, err
		}
		return &service{
			via: via{Kind: "http", Addr: n.Door, Name: n.Partner, Key: n.Key}, programs: []*rig.Program{n.Relay, n.Edge}, close: n.Stop,
		}, nil
	}
}

// program finds a program, or says that it is not there.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: no %s", rig.ErrMissing, name)
	}
	return filepath.Abs(path)
}

// settings writes a program's configuration.
func (b *bench) settings(name, text string) (string, error) {
	file := filepath.Join(b.rig.Dir, name)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// launch starts the programs of a service one after the other and waits until a request goes through them.
func (b *bench) launch(ctx context.Context, s *service, steps ...func() (*rig.Program, error)) (*service, error) {
	for _, start := range steps {
		p, err := start()
		if err != nil {
			s.stop()
			return nil, err
		}
		s.programs = append(s.programs, p)
	}
	err := rig.Eventually(ctx, "a request goes through", 10*time.Second, func() error {
		_, _, err := b.measure(ctx, s, job{Path: "/small", Size: rig.SmallSize, Clients: 1})
		return err
	})
	if err != nil {
		for _, p := range s.programs {
			err = fmt.Errorf("%w\n%s: %s", err, p.Name, p.Said())
		}
		s.stop()
		return nil, err
	}
	return s, nil
}

// singBox is sing-box at both ends: an entry in the street that clients ask by HTTP, and an exit in the home.
func singBox(protocol string, port int) func(context.Context, *bench) (*service, error) {
	return func(ctx context.Context, b *bench) (*service, error) {
		binary, err := program(b.plan.singBox)
		if err != nil {
			return nil, err
		}
		certificate, key, err := rig.Certificate(b.rig.Dir, rig.Home)
		if err != nil {
			return nil, err
		}
		in := strconv.Itoa(port)
		entry, exit := rig.SingBox(protocol, port, in, certificate, key)
		start := func(space *rig.Space, name string, config any) func() (*rig.Program, error) {
			return func() (*rig.Program, error) {
				data, err := json.Marshal(config)
				if err != nil {
					return nil, err
				}
				file, err := b.settings(name+".json", string(data))
				if err != nil {
					return nil, err
				}
				return space.Start(b.rig.Dir, name, binary, "run", "-c", file)
			}
		}
		s := &service{via: via{Kind: "http", Addr: net.JoinHostPort(rig.Street, in)}}
		return b.launch(ctx, s, start(b.rig.Street, protocol+"-entry", entry), start(b.rig.Home, protocol+"-exit", exit))
	}
}

// openGoproxy runs this program as a proxy made of the library alone.
func openGoproxy(ctx context.Context, b *bench) (*service, error) {
	at := net.JoinHostPort(rig.Home, "9201")
	return b.launch(ctx, &service{via: via{Kind: "http", Addr: at}}, func() (*rig.Program, error) {
		return b.rig.Home.Start(b.rig.Dir, "goproxy", b.self, "goproxy", at)
	})
}

// plain starts a proxy of Debian's in the home, where it is entry and exit in one.
func plain(ctx context.Context, b *bench, name, kind, port, config string, args ...string) (*service, error) {
	binary, err := program(name)
	if err != nil {
		return nil, err
	}
	file, err := b.settings(name+".conf", config)
	if err != nil {
		return nil, err
	}
	return b.launch(ctx, &service{via: via{Kind: kind, Addr: net.JoinHostPort(rig.Home, port)}}, func() (*rig.Program, error) {
		return b.rig.Home.Start(b.rig.Dir, name, append(append([]string{binary}, args...), file)...)
	})
}

func openSquid(ctx context.Context, b *bench) (*service, error) {
	return plain(ctx, b, "squid", "http", "9202", strings.Join([]string{
		"http_port " + rig.Home + ":9202", "http_access allow all", "cache deny all", "access_log none", "cache_log /dev/null",
		"pid_filename none", "shutdown_lifetime 1 second", "max_filedescriptors 16384", "pinger_enable off", "visible_hostname bench", "",
	}, "\n"), "-N", "-f")
}

func openTinyproxy(ctx context.Context, b *bench) (*service, error) {
	return plain(ctx, b, "tinyproxy", "http", "9203", strings.Join([]string{
		"Port 9203", "Listen " + rig.Home, "MaxClients 2000", "Timeout 600", "LogLevel Critical", "DisableViaHeader Yes", "",
	}, "\n"), "-d", "-c")
}

func openDante(ctx context.Context, b *bench) (*service, error) {
	return plain(ctx, b, "danted", "socks", "9204", strings.Join([]string{
		"logoutput: stderr", "errorlog: stderr", "internal: " + rig.Home + " port = 9204", "external: to-site",
		"socksmethod: none", "clientmethod: none", "user.privileged: root", "user.unprivileged: nobody",
		"client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }", "socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }", "",
	}, "\n"), "-f")
}
