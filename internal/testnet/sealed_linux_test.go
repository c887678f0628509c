package testnet_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sward/edge"
)

// sealedRules count each packet with which the home would call anything but the network, the site and its resolver: this
// machine, the router, the printer, the neighbours. Replies are no calls.
const sealedRules = `
table inet sealed {
  counter itself { }
  counter lan4 { }
  counter lan6 { }
  counter elsewhere { }
  chain out {
    type filter hook output priority 0; policy accept;
    meta l4proto != { tcp, udp } accept
    ct direction reply accept
    oifname "lo" counter name itself accept
    ip daddr { 44.128.0.10, 44.128.1.20, 44.128.1.53 } accept
    ip daddr { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 100.64.0.0/10, 224.0.0.0/4 } counter name lan4 accept
    ip6 daddr ::/0 counter name lan6 accept
    counter name elsewhere
  }
}
`

// counters are the packets that the home has sent where nobody may send any.
func (l *lab) counters(home string) map[string]int {
	l.t.Helper()
	var listing struct {
		Nftables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets int    `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	text := l.output(home, "nft", "-j", "list", "counters")
	if err := json.Unmarshal([]byte(text), &listing); err != nil {
		l.t.Fatalf("%v: %s", err, text)
	}
	counts := map[string]int{}
	for _, entry := range listing.Nftables {
		if entry.Counter != nil {
			counts[entry.Counter.Name] = entry.Counter.Packets
		}
	}
	return counts
}

// The home is attacked from both sides: by its own agent, which seals it, and by a partner through a real relay. Victims
// listen on its loopback, on its router and on a printer, in IPv4 and in a global IPv6 network; the kernel counts every
// packet that leaves for one of them. There is none.
func TestNoPacketReachesAHome(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: builds programs and runs a network of processes")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("skipped: counting packets needs nftables")
	}
	l := newLab(t, 1)
	defer l.logs()
	bin := build(t)
	home := l.home[0]
	victims := l.furnish(home)
	handler := http.NewServeMux()
	handler.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<title>Shop</title>open") })
	handler.HandleFunc("GET /leap", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound) // A23
	})
	l.serveSite(handler)

	hubDir, relayDir, edgeDir := filepath.Join(l.dir, "hub"), filepath.Join(l.dir, "relay"), filepath.Join(l.dir, "edge")
	l.start(l.net, "hub", bin("sward"), "hub", "--dir", hubDir, "--network", "lab",
		"--internal", backbone+":7400", "--api", backbone+":7401", "--search", backbone+":7402", "--delay", "10ms")
	hubID := l.output(l.net, bin("sward"), "id", "--dir", hubDir)
	relayID := l.output(l.net, bin("sward"), "id", "--dir", relayDir)
	l.eventually("the hub is up", func() error { return l.get(fmt.Sprintf("http://%s:7402/", backbone), "", nil) })
	l.output(l.net, bin("sward"), "admit", relayID, "--dir", hubDir)
	l.start(l.net, "relay", bin("sward"), "relay", "--dir", relayDir, "--network", "lab",
		"--hub", backbone+":7400", "--hub-id", hubID, "--tunnel", backbone+":7443", "--proxy", backbone+":7480")
	code := l.output(l.net, bin("sward"), "owner", "invite", "--dir", hubDir)
	l.output(home, bin("sward-edge"), "init", "--dir", edgeDir, "--network", "lab", "--hub", backbone+":7400", "--hub-id", hubID, "--consent-code", code)
	l.nft(home, sealedRules)
	l.start(home, "edge", bin("sward-edge"), "run", "--dir", edgeDir)
	key := l.output(l.net, bin("sward"), "partner", "add", "acme", "--purpose", "market-research", "--dir", hubDir)
	l.output(l.net, bin("sward"), "partner", "credit", "acme", "1GiB", "--dir", hubDir)

	// It serves, so it is sealed; and what is honest goes through.
	l.eventually("the proxy serves the site", func() error { return l.viaProxy("acme", key, siteName, http.StatusOK, "") })
	l.attackThroughRelay("acme", key)
	for _, url := range []string{"http://" + siteName + "/leap", "http://" + trapName + "/", "http://192.168.11.1/"} {
		if err := l.post("http://"+backbone+":7401/v2/scrape", key, map[string]any{"url": url}, nil); err == nil {
			t.Errorf("a scrape of %s was answered", url)
		}
	}
	l.must(l.viaProxy("acme", key, siteName, http.StatusOK, ""))
	for name, packets := range l.counters(home) {
		if packets != 0 {
			t.Errorf("%d packets of the home went to %s, want none", packets, name)
		}
	}
	if n := victims.Load(); n != 0 {
		t.Errorf("victims were reached %d times, want never", n)
	}

	// The counters and the victims would have noticed: this is what a broken gate does.
	err := l.in(home, func() error {
		for _, at := range []string{"127.0.0.1:80", "192.168.11.1:80", "192.168.11.9:9100", "[" + homePrinter6 + "]:80"} {
			c, err := net.DialTimeout("tcp", at, 5*time.Second)
			if err != nil {
				return err
			}
			c.Read(make([]byte, 1)) //nolint:errcheck // until the victim has counted it and closed
			c.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, counts := victims.Load(), l.counters(home); n != 4 || counts["itself"] == 0 || counts["lan4"] == 0 || counts["lan6"] == 0 {
		t.Errorf("after a call to each: %d victims reached, packets %v; want 4, and some in each", n, counts)
	}
	var status edge.Status
	if err := json.Unmarshal([]byte(l.output(home, bin("sward-edge"), "status", "--json", "--dir", edgeDir)), &status); err != nil {
		t.Fatal(err)
	}
	if !status.Seal.Whole() {
		t.Errorf("the owner sees %+v, want a whole seal", status.Seal)
	}
	t.Log(status.Seal)
}

func (l *lab) nft(namespace, rules string) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), "ip", "netns", "exec", namespace, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v: %s", err, out)
	}
}

// furnish gives a home an IPv6 network, a printer and victims: listeners that count who reaches them.
func (l *lab) furnish(home string) *atomic.Int64 {
	l.t.Helper()
	inside, outside := l.ports(0)
	l.ip("-n", home, "addr", "add", "2a02:8071:1:2::10/64", "dev", inside, "nodad")
	l.ip("-n", home, "addr", "add", "fd12:3456:789a::10/64", "dev", inside, "nodad")
	l.ip("-n", l.net, "addr", "add", "2a02:8071:1:2::1/64", "dev", outside, "nodad")
	l.ip("-n", l.net, "addr", "add", homePrinter6+"/64", "dev", outside, "nodad")
	l.ip("-n", l.net, "addr", "add", "192.168.11.9/24", "dev", outside)
	l.ip("-n", home, "-6", "route", "add", "default", "via", "2a02:8071:1:2::1")
	var reached atomic.Int64
	for _, v := range []struct{ namespace, address string }{
		{home, "127.0.0.1:80"}, {home, "127.0.0.1:443"}, {home, "[::1]:80"}, {home, "192.168.11.2:80"}, {home, "[2a02:8071:1:2::10]:80"},
		{l.net, "192.168.11.1:80"}, {l.net, "192.168.11.1:443"}, {l.net, "192.168.11.9:9100"}, {l.net, "192.168.11.9:80"},
		{l.net, "[2a02:8071:1:2::1]:80"}, {l.net, "[" + homePrinter6 + "]:80"},
	} {
		err := l.in(v.namespace, func() error {
			listener, err := net.Listen("tcp", v.address)
			if err != nil {
				return err
			}
			l.t.Cleanup(func() { listener.Close() })
			go func() {
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					reached.Add(1)
					c.Close()
				}
			}()
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	return &reached
}

// attackThroughRelay asks a relay's door for all that nobody may reach, as a partner with a good account.
func (l *lab) attackThroughRelay(partner, key string) {
	l.t.Helper()
	tried := 0
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]",
		"[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
		"192.168.11.1", "192.168.11.2", "192.168.11.9", "10.0.0.1", "169.254.169.254", "100.64.0.1", "router", "router.local",
		"metadata.google.internal", "[fe80::1]", "[fe80::1%25eth0]", "[fd12:3456:789a::10]", "[2a02:8071:1:2::1]",
		"[2a02:8071:1:2::10]", "[" + homePrinter6 + "]", trapName, mixedName, printerName, searchName, hostsName, backbone, resolver,
	} {
		for _, port := range []string{"80", "443", "9100"} {
			if tried++; l.connect(host+":"+port, partner, key) == http.StatusOK {
				l.t.Errorf("CONNECT %s:%s was answered with 200", host, port)
			}
		}
	}
	// The name that is rebound leads to the site once, which is no breach, and home ever after (A20).
	for range 3 {
		l.connect(rebindName+":80", partner, key)
	}
	if l.connect(rebindName+":80", partner, key) == http.StatusOK {
		l.t.Errorf("CONNECT %s was answered with 200 after it was rebound", rebindName)
	}
	l.t.Logf("%d attacks through the relay", tried)
}

// connect asks for a tunnel and returns the status, 0 for a door that hung up.
func (l *lab) connect(target, partner, key string) int {
	c, err := l.dial(l.t.Context(), "tcp", backbone+":7480")
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // a socket has deadlines
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Basic %s\r\n\r\n", target,
		base64.StdEncoding.EncodeToString([]byte(partner+":"+key)))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}
