package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"sward/internal/bench/rig"
)

// road is a way over the line, from a client in the street to a server in the home or beyond.
type road struct {
	name string
	open func(ctx context.Context, r *rig.Rig, handler http.Handler) (*lane, error)
}

// lane is an open road.
type lane struct {
	dial  dialFunc                        // one stream that ends at a server of blobs and sinks
	renew func(ctx context.Context) error // forgets what the line was before
	close func()
}

// fresh is the renew of a road whose every stream is a new connection.
func fresh(context.Context) error { return nil }

type dialFunc func(ctx context.Context) (net.Conn, error)

// Ports of the home for peers.
const (
	tcpPort  = 9001
	quicPort = 9002
	hy2Port  = 9003
	inPort   = "9004" // of the entry in the street
)

// sward is the built programs with edge.yaml and relay.yaml extended.
func sward(name string, programs rig.Programs) road {
	return road{name, func(ctx context.Context, r *rig.Rig, _ http.Handler) (*lane, error) {
		n, err := r.StartNetwork(ctx, programs)
		if err != nil {
			return nil, err
		}
		if err := n.Age(ctx); err != nil {
			n.Stop()
			return nil, err
		}
		return &lane{n.Dial, n.Renew, n.Stop}, nil
	}}
}

// kernelTCP is TCP alone, with the congestion control of that name at both ends.
func kernelTCP(control string) road {
	set := rig.Congestion(control)
	return road{"kernel TCP, " + control, func(_ context.Context, r *rig.Rig, handler http.Handler) (*lane, error) {
		address := fmt.Sprintf("%s:%d", rig.Home, tcpPort)
		var l net.Listener
		err := r.Home.Do(func() (err error) {
			l, err = (&net.ListenConfig{Control: set}).Listen(context.Background(), "tcp", address)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%w: congestion control %s: %w", rig.ErrMissing, control, err)
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go server.Serve(l) //nolint:errcheck // ends with Close
		return &lane{func(ctx context.Context) (net.Conn, error) {
			return r.Street.Dial(ctx, address, net.Dialer{Control: set, Timeout: 5 * time.Second})
		}, fresh, func() { server.Close() }}, nil
	}}
}

// upstreamQUIC is quic-go as it comes: a new connection for each measurement, one stream in it.
func upstreamQUIC() road {
	return road{"quic-go alone (CUBIC)", func(_ context.Context, r *rig.Rig, handler http.Handler) (*lane, error) {
		file, key, err := rig.Certificate(r.Dir, rig.Home)
		if err != nil {
			return nil, err
		}
		certificate, err := tls.LoadX509KeyPair(file, key)
		if err != nil {
			return nil, err
		}
		far, err := r.Home.ListenPacket(fmt.Sprintf("%s:%d", rig.Home, quicPort))
		if err != nil {
			return nil, err
		}
		near, err := r.Street.ListenPacket(rig.Door + ":0")
		if err != nil {
			far.Close()
			return nil, err
		}
		config := &quic.Config{MaxIdleTimeout: 30 * time.Second}
		l, err := (&quic.Transport{Conn: far}).Listen(&tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"bench"}}, config)
		if err != nil {
			far.Close()
			near.Close()
			return nil, err
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go server.Serve(&streamListener{l: l}) //nolint:errcheck // ends with Close
		from := &quic.Transport{Conn: near}
		dial := func(ctx context.Context) (net.Conn, error) {
			to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(rig.Home), quicPort))
			conn, err := from.Dial(ctx, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"bench"}}, config) //nolint:gosec // two ends of one bench
			if err != nil {
				return nil, err
			}
			stream, err := conn.OpenStreamSync(ctx)
			if err != nil {
				conn.CloseWithError(0, "")
				return nil, err
			}
			return &streamConn{Stream: stream, conn: conn}, nil
		}
		return &lane{dial, fresh, func() { server.Close(); l.Close(); from.Close(); near.Close(); far.Close() }}, nil
	}}
}

// streamListener hands out the first stream of each connection.
type streamListener struct{ l *quic.Listener }

func (s *streamListener) Accept() (net.Conn, error) {
	for {
		conn, err := s.l.Accept(context.Background())
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		stream, err := conn.AcceptStream(ctx)
		cancel()
		if err == nil {
			return &streamConn{Stream: stream, conn: conn}, nil
		}
	}
}

func (s *streamListener) Close() error   { return s.l.Close() }
func (s *streamListener) Addr() net.Addr { return s.l.Addr() }

// streamConn is a stream with the connection that it has to itself.
type streamConn struct {
	*quic.Stream
	conn *quic.Conn
	once sync.Once
}

func (c *streamConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *streamConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }
func (c *streamConn) Close() error {
	c.once.Do(func() { c.conn.CloseWithError(0, "") })
	return nil
}

// singBox is sing-box with hysteria2 between an entry in the street and an exit in the home. Told a rate, in Mbit/s, it
// sends at that whatever is lost, and nobody else on the line has a say; told none (0), it uses its BBR.
func singBox(name, binary string, told int64) road {
	return road{name, func(ctx context.Context, r *rig.Rig, _ http.Handler) (*lane, error) {
		program, err := exec.LookPath(binary)
		if err != nil {
			return nil, fmt.Errorf("%w: no sing-box: make bench-tools installs it, or give --sing-box", rig.ErrMissing)
		}
		if program, err = filepath.Abs(program); err != nil {
			return nil, err
		}
		certificate, key, err := rig.Certificate(r.Dir, rig.Home)
		if err != nil {
			return nil, err
		}
		entry, exit := rig.SingBox("hysteria2", hy2Port, inPort, certificate, key)
		if told > 0 {
			out := entry["outbounds"].([]map[string]any)[0]
			out["up_mbps"], out["down_mbps"] = told, told
		}
		dial := func(ctx context.Context) (net.Conn, error) {
			c, err := r.Street.Dial(ctx, net.JoinHostPort(rig.Street, inPort), net.Dialer{Timeout: 5 * time.Second, Control: rig.Congestion("cubic")})
			if err != nil {
				return nil, err
			}
			return rig.Connect(c, net.JoinHostPort(rig.Site, "80"), "", "")
		}
		ends := []*end{{name: "hy2-exit", space: r.Home, config: exit}, {name: "hy2-entry", space: r.Street, config: entry}}
		stop := func() {
			for _, e := range ends {
				e.program.Stop()
			}
		}
		renew := func(ctx context.Context) error {
			stop()
			for _, e := range ends {
				if err := e.start(r.Dir, program); err != nil {
					return err
				}
			}
			return rig.Eventually(ctx, "hysteria2 carries a request", 10*time.Second, func() error { return try(ctx, dial) })
		}
		if err := renew(ctx); err != nil {
			err = fmt.Errorf("%w\nexit: %s\nentry: %s", err, ends[0].program.Said(), ends[1].program.Said())
			stop()
			return nil, err
		}
		return &lane{dial, renew, stop}, nil
	}}
}

// end is one sing-box of two.
type end struct {
	name    string
	space   *rig.Space
	config  any
	program *rig.Program
}

func (e *end) start(dir, binary string) error {
	data, err := json.Marshal(e.config)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, e.name+".json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	e.program, err = e.space.Start(dir, e.name, binary, "run", "-c", file)
	return err
}
