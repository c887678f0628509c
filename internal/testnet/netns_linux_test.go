package testnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// Addresses of the isolated net. They look public, so that the address gate lets the site pass without an exception, and
// nothing leaves: no namespace has an uplink. The site has a prefix of its own, since an edge refuses its own prefix.
const (
	backbone = "44.128.0.10" // hub and relay
	siteHost = "44.128.1.20" // web site
	resolver = "44.128.1.53" // not the site's address: an edge reaches its own DNS server for nobody
	siteName = "shop.example"
	trapName = "router.example" // resolves to a home router's address

	searchName   = "ghost.example"      // exists only with the home's search domain behind it
	hostsName    = "hosts-file.example" // only the home's hosts file knows it
	mixedName    = "mixed.example"      // to the site and the router
	rebindName   = "rebind.example"     // to the site, and from then on to the router
	printerName  = "printer.example"    // to a printer in the home's own IPv6 network
	homePrinter6 = "2a02:8071:1:2::9"   // globally reachable, and at home
)

// lab is the isolated net: one namespace for the backbone and the site, one for each edge's home.
type lab struct {
	t    *testing.T
	net  string // namespace of the backbone
	dir  string
	home []string // namespaces of the homes
}

func newLab(t *testing.T, homes int) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("skipped: network namespaces need iproute2")
	}
	l := &lab{t: t, net: fmt.Sprintf("sward-%d", os.Getpid()), dir: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", l.net).CombinedOutput(); err != nil {
		t.Skipf("skipped: no network namespaces here: %s", strings.TrimSpace(string(out)))
	}
	l.cleanNamespace(l.net)
	l.ip("-n", l.net, "link", "set", "lo", "up")
	for _, address := range []string{backbone, siteHost, resolver} {
		l.ip("-n", l.net, "addr", "add", address+"/32", "dev", "lo")
	}
	for n := range homes {
		l.addHome(n)
	}
	return l
}

func (l *lab) cleanNamespace(name string) {
	l.t.Cleanup(func() {
		exec.Command("ip", "netns", "del", name).Run() //nolint:errcheck // best effort
		os.RemoveAll(filepath.Join("/etc/netns", name))
	})
}

// addHome makes a namespace with a private LAN address and a default route, and a resolver of its own.
func (l *lab) addHome(n int) {
	name := fmt.Sprintf("%s-h%d", l.net, n)
	inside, outside := l.ports(n)
	l.ip("netns", "add", name)
	l.cleanNamespace(name)
	l.ip("link", "add", inside, "type", "veth", "peer", "name", outside)
	l.ip("link", "set", inside, "netns", name)
	l.ip("link", "set", outside, "netns", l.net)
	l.ip("-n", name, "link", "set", "lo", "up")
	l.ip("-n", name, "addr", "add", fmt.Sprintf("192.168.%d.2/24", 11+n), "dev", inside)
	l.ip("-n", name, "link", "set", inside, "up")
	l.ip("-n", l.net, "addr", "add", fmt.Sprintf("192.168.%d.1/24", 11+n), "dev", outside)
	l.ip("-n", l.net, "link", "set", outside, "up")
	l.ip("-n", name, "route", "add", "default", "via", fmt.Sprintf("192.168.%d.1", 11+n))
	etc := filepath.Join("/etc/netns", name) // `ip netns exec` puts these files over /etc
	if err := os.MkdirAll(etc, 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("search corp.example\nnameserver "+resolver+"\n"), 0o644); err != nil {
		l.t.Fatal(err)
	}
	hosts := "127.0.0.1 localhost\n192.168.11.1 " + hostsName + "\n"
	if err := os.WriteFile(filepath.Join(etc, "hosts"), []byte(hosts), 0o644); err != nil {
		l.t.Fatal(err)
	}
	l.home = append(l.home, name)
}

// ports are the ends of a home's line: in the home, and on the backbone.
func (l *lab) ports(n int) (inside, outside string) {
	return fmt.Sprintf("sw%d-%d", os.Getpid()%10000, n), fmt.Sprintf("sx%d-%d", os.Getpid()%10000, n)
}

func (l *lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.CommandContext(l.t.Context(), "ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// inside calls do on a thread that stands in the backbone's namespace. Sockets that do opens belong to it for good.
func (l *lab) inside(do func() error) error { return l.in(l.net, do) }

// in calls do on a thread that stands in a namespace.
func (l *lab) in(namespace string, do func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: a thread that has moved dies with its goroutine
		fd, err := unix.Open("/run/netns/"+namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err != nil {
			failed <- fmt.Errorf("enter %s: %w", namespace, err)
			return
		}
		failed <- do()
	}()
	return <-failed
}

func (l *lab) listen(network, address string) (tcp net.Listener, udp net.PacketConn) {
	l.t.Helper()
	err := l.inside(func() (err error) {
		if network == "udp" {
			udp, err = (&net.ListenConfig{}).ListenPacket(l.t.Context(), network, address)
		} else {
			tcp, err = (&net.ListenConfig{}).Listen(l.t.Context(), network, address)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return tcp, udp
}

// dial connects from the backbone's namespace.
func (l *lab) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	insideErr := l.inside(func() error {
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return nil
	})
	return c, errors.Join(insideErr, err)
}

// serveSite runs the web site and the resolver of the isolated net.
func (l *lab) serveSite(handler http.Handler) {
	web, _ := l.listen("tcp", siteHost+":80")
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(web) //nolint:errcheck // ends with Close
	_, dns := l.listen("udp", resolver+":53")
	site, trap := netip.MustParseAddr(siteHost), netip.MustParseAddr("192.168.11.1")
	go serveDNS(dns, map[string][][]netip.Addr{
		siteName + ".": {{site}}, trapName + ".": {{trap}},
		searchName + ".corp.example.": {{site}},
		mixedName + ".":               {{site, trap}}, rebindName + ".": {{site}, {trap}}, printerName + ".": {{netip.MustParseAddr(homePrinter6)}},
	})
	l.t.Cleanup(func() { server.Close(); dns.Close() })
}

// serveDNS answers questions for addresses from a table, until the socket is closed. The first question of a type is answered
// with the first set, and so on; the last set stays.
func serveDNS(socket net.PacketConn, table map[string][][]netip.Addr) {
	asked := map[dnsmessage.Question]int{}
	buf := make([]byte, 1500)
	for {
		n, from, err := socket.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m.Header.Response, m.Header.RecursionAvailable, m.Additionals = true, true, nil
		sets, known := table[strings.ToLower(q.Name.String())]
		if !known {
			m.Header.RCode = dnsmessage.RCodeNameError
		} else {
			for _, a := range sets[min(asked[q], len(sets)-1)] {
				header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 0}
				switch {
				case a.Is4() && q.Type == dnsmessage.TypeA:
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
				case a.Is6() && q.Type == dnsmessage.TypeAAAA:
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
				}
			}
			asked[q]++
		}
		if answer, err := m.Pack(); err == nil {
			socket.WriteTo(answer, from) //nolint:errcheck // the resolver asks again
		}
	}
}

// process is a program that runs in a namespace and can be killed and started again.
type process struct {
	l    *lab
	name string
	args []string

	mu  sync.Mutex
	cmd *exec.Cmd
}

// start runs the program with its output in a log file, and stops it with the test.
func (l *lab) start(namespace, name string, args ...string) *process {
	l.t.Helper()
	p := &process{l: l, name: name, args: append([]string{"netns", "exec", namespace}, args...)}
	p.run()
	l.t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	return p
}

func (p *process) run() {
	p.l.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.l.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.l.t.Fatal(err)
	}
	defer log.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command("ip", p.args...) // `ip netns exec` becomes the program: the process id is the program's
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.l.t.Fatalf("start %s: %v", p.name, err)
	}
}

// stop signals the program and waits for its end.
func (p *process) stop(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(signal) //nolint:errcheck // it may have ended by itself
	p.cmd.Wait()                 //nolint:errcheck // a killed program has no good status
	p.cmd = nil
}

// killAndRestart is what a crash looks like.
func (p *process) killAndRestart() {
	p.l.t.Helper()
	p.stop(syscall.SIGKILL)
	p.run()
}

// output runs a program in a namespace to its end.
func (l *lab) output(namespace string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", namespace}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("%s: %v: %s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// logs shows what the programs said, when the test has failed.
func (l *lab) logs() {
	if !l.t.Failed() {
		return
	}
	files, _ := filepath.Glob(filepath.Join(l.dir, "*.log"))
	for _, name := range files {
		data, _ := os.ReadFile(name)
		l.t.Logf("%s:\n%s", filepath.Base(name), data[max(0, len(data)-4000):])
	}
}
