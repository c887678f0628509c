package rig

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Ports of the network's programs, all at the network's host in the street.
const (
	hubPort    = "7400"
	apiPort    = "7401"
	searchPort = "7402"
	tunnelPort = "7443"
	doorPort   = "7480"
)

// TLSDoor is where the partners' doors in TLS (TCP) and HTTP/3 (UDP) are.
const TLSDoor = Street + ":7481"

const (
	upTime  = 20 * time.Second // for a program to come up
	partner = "acme"
	// History in bytes is what a relay wants to have seen credited before it trusts an edge with the largest window: a
	// new edge would wait for receipts, as it should, but homes with history are what is measured.
	History = 96 << 20
)

// Network is the built programs at work: a hub and a relay in the street, an edge in the home.
type Network struct {
	Hub, Relay, Edge *Program
	Partner, Key     string
	Door             string // the partners' door, host:port

	rig     *Rig
	sward   string
	edge    string
	host    string // of hub and relay
	dir     string
	edgeDir string
}

// Programs says where the built programs are, and how they run.
type Programs struct {
	Bin                          string // directory that holds sward and sward-edge
	TCP                          bool   // a network of its own, to which the home has no way by UDP
	Certificate, CertificateKey  string // files for the doors in TLS and HTTP/3; without them there are none
	RelayFile, HubFile, EdgeFile string // lines for the programs' files, beyond those that the rig needs
}

func (p Programs) relayFlags() []string {
	if p.Certificate == "" {
		return nil
	}
	return []string{"--proxy-tls", TLSDoor, "--proxy-h3", TLSDoor, "--cert", p.Certificate, "--key", p.CertificateKey}
}

// limitless opens the limits that protect one site and one account from each other: the rig has one of each.
const (
	limitlessRelay = "limits: {target_rate: -1, target_burst: -1, target_streams: -1, scan_pairs: -1, short_rate: -1, short_burst: -1}\n"
	limitlessHub   = "limits: {rate: 1000000, burst: 1000000, streams: 1000000, day: 0}\n"
)

// StartNetwork starts the programs and waits until a request has gone through them. The site must be up.
func (r *Rig) StartNetwork(ctx context.Context, p Programs) (n *Network, err error) {
	bin, err := filepath.Abs(p.Bin)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.Dir, "network-") // one rig may carry several, one after the other
	if err != nil {
		return nil, err
	}
	n = &Network{
		rig: r, host: Street, dir: dir, sward: filepath.Join(bin, "sward"), edge: filepath.Join(bin, "sward-edge"),
		edgeDir: filepath.Join(dir, "edge"), Partner: partner,
	}
	if p.TCP {
		n.host = second
	}
	n.Door = net.JoinHostPort(n.host, doorPort)
	for _, program := range []string{n.sward, n.edge} {
		if _, err := os.Stat(program); err != nil {
			return nil, fmt.Errorf("%w: %s is not built: run make build", ErrMissing, filepath.Base(program))
		}
	}
	if err := n.start(ctx, p); err != nil {
		err = fmt.Errorf("%w\nhub: %s\nrelay: %s\nedge: %s", err, said(n.Hub), said(n.Relay), said(n.Edge))
		n.Stop()
		return nil, err
	}
	r.defers(n.Stop)
	return n, nil
}

func said(p *Program) string {
	if p == nil {
		return "not started"
	}
	return p.Said()
}

func (n *Network) start(ctx context.Context, p Programs) (err error) {
	loopback := "127.0.0.1"
	if p.TCP {
		loopback = "127.0.0.2"
	}
	debug := func(port string) string { return net.JoinHostPort(loopback, port) }
	r, at := n.rig, func(port string) string { return net.JoinHostPort(n.host, port) }
	hubDir, relayDir := filepath.Join(n.dir, "hub"), filepath.Join(n.dir, "relay")
	for dir, file := range map[string][2]string{hubDir: {"hub.yaml", limitlessHub + p.HubFile}, relayDir: {"relay.yaml", limitlessRelay + p.RelayFile}} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file[0]), []byte(file[1]), 0o600); err != nil {
			return err
		}
	}
	ask := func(args ...string) (out string) {
		if err == nil {
			out, err = n.operate(ctx, args...)
		}
		return out
	}
	n.Hub, err = r.Street.Start(n.dir, "hub", n.sward, "hub", "--dir", hubDir, "--network", "rig", "--log", "warn",
		"--internal", at(hubPort), "--api", at(apiPort), "--search", at(searchPort), "--debug", debug("7403"))
	if err != nil {
		return err
	}
	err = Eventually(ctx, "the hub is up", upTime, func() error {
		c, err := r.Street.Dial(ctx, at(searchPort), net.Dialer{Timeout: time.Second})
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	relayID, err := r.Street.Output(ctx, n.dir, nil, n.sward, "id", "--dir", relayDir)
	hubID := ask("id")
	ask("admit", relayID)
	n.Key = ask("partner", "add", partner, "--purpose", "market-research")
	ask("partner", "credit", partner, "10TiB")
	invitation := ask("owner", "invite")
	if err != nil {
		return err
	}
	n.Relay, err = r.Street.Start(n.dir, "relay", append([]string{n.sward, "relay", "--dir", relayDir, "--network", "rig", "--log", "warn",
		"--hub", at(hubPort), "--hub-id", hubID, "--tunnel", at(tunnelPort), "--proxy", n.Door, "--debug", debug("7483")}, p.relayFlags()...)...)
	if err != nil {
		return err
	}
	_, err = r.Home.Output(ctx, n.dir, nil, n.edge, "init", "--dir", n.edgeDir, "--network", "rig", "--hub", at(hubPort), "--hub-id", hubID,
		"--consent-code", invitation, "--day", "0", "--month", "0")
	if err != nil {
		return err
	}
	if err := n.widen("dashboard: " + debug("7411") + "\n" + p.EdgeFile); err != nil {
		return err
	}
	if n.Edge, err = n.startEdge(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// widen lets the edge carry as many connections as it ever may (what it refuses by default is not what is measured), and
// sets more lines of its file, in place of those with the same key.
func (n *Network) widen(more string) error {
	file := filepath.Join(n.edgeDir, "edge.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for _, set := range strings.Split(strings.TrimSpace("streams: 1024\n"+more), "\n") {
		key, _, _ := strings.Cut(set, ":")
		at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, key+":") })
		if at < 0 {
			lines = append(lines, set)
		} else {
			lines[at] = set
		}
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

func (n *Network) startEdge() (*Program, error) {
	return n.rig.Home.Start(n.dir, "edge", n.edge, "run", "--dir", n.edgeDir, "--log", "warn")
}

// Ready waits until a request goes through.
func (n *Network) Ready(ctx context.Context) error {
	return Eventually(ctx, "a request goes through the network", upTime, func() error { return n.fetch(ctx, "/small", SmallSize) })
}

// Age gives the edge a history. It counts from the edge's next session on: see Renew.
func (n *Network) Age(ctx context.Context) error {
	if err := n.fetch(ctx, fmt.Sprintf("/blob?n=%d", History), History); err != nil {
		return fmt.Errorf("give the edge a history: %w", err)
	}
	n.Edge.Stop() // its last receipts reach the relay on the way out, and the hub soon after
	time.Sleep(2 * time.Second)
	return n.Renew(ctx)
}

// Renew starts the edge again: a new session, which knows nothing of what the line was before.
func (n *Network) Renew(ctx context.Context) (err error) {
	n.Edge.Stop()
	if n.Edge, err = n.startEdge(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// fetch downloads a page of so many bytes through the door.
func (n *Network) fetch(ctx context.Context, path string, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx) }}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Site+path, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.Copy(io.Discard, answer.Body)
	if err == nil && got != size {
		err = fmt.Errorf("status %d with %d bytes, want %d", answer.StatusCode, got, size)
	}
	return err
}

// Dial opens a connection to the site's port 80 through the door.
func (n *Network) Dial(ctx context.Context) (net.Conn, error) {
	c, err := n.rig.Street.Dial(ctx, n.Door, net.Dialer{Timeout: 5 * time.Second, Control: Congestion("cubic")})
	if err != nil {
		return nil, err
	}
	return Connect(c, net.JoinHostPort(Site, "80"), n.Partner, n.Key)
}

// AddPartner opens one more partner's account, with credit, and returns its key.
func (n *Network) AddPartner(ctx context.Context, name string) (key string, err error) {
	key, err = n.operate(ctx, "partner", "add", name, "--purpose", "market-research")
	if err == nil {
		_, err = n.operate(ctx, "partner", "credit", name, "1GiB")
	}
	return key, err
}

// operate runs one of the operator's commands against the hub.
func (n *Network) operate(ctx context.Context, args ...string) (string, error) {
	args = append([]string{n.sward}, args...)
	return n.rig.Street.Output(ctx, n.dir, nil, append(args, "--dir", filepath.Join(n.dir, "hub"))...)
}

// Stop ends the programs in the order in which an operator would.
func (n *Network) Stop() {
	for _, p := range []*Program{n.Edge, n.Relay, n.Hub} {
		p.Stop()
	}
}
