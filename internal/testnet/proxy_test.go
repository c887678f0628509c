package testnet_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"sward/edge"
	"sward/internal/sandbox"
	"sward/internal/testnet"
	"sward/policy"
)

// blob serves as many bytes as the path says.
func blob(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		fmt.Fprintf(w, "<!doctype html><title>Blob</title><p>hello from %s", r.Host)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	for chunk := make([]byte, 32<<10); n > 0; n -= len(chunk) {
		if _, err := w.Write(chunk[:min(n, len(chunk))]); err != nil {
			return
		}
	}
}

var blobSite = http.HandlerFunc(blob)

func TestPartnerReachesTheSiteInEveryDialect(t *testing.T) {
	testnet.Run(t, testnet.Config{Edges: 2, Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		p := n.Partners[0]
		socks, err := proxy.SOCKS5("tcp", n.Info().Socks, &proxy.Auth{User: p.Name, Password: p.Key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		overSOCKS := n.Client(t, p)
		overSOCKS.Transport.(*http.Transport).Proxy = nil
		overSOCKS.Transport.(*http.Transport).DialContext = socks.(proxy.ContextDialer).DialContext
		for name, client := range map[string]*http.Client{"HTTP": n.Client(t, p), "SOCKS5": overSOCKS} {
			for _, base := range []string{n.Info().Site, n.Info().SiteTLS} {
				answer, err := client.Get(base + "/100000")
				if err != nil {
					t.Errorf("%s to %s: %v", name, base, err)
					continue
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != http.StatusOK || len(body) != 100000 {
					t.Errorf("%s to %s: status %d, %d bytes, %v; want 200, 100000", name, base, answer.StatusCode, len(body), err)
				}
			}
		}
	})
}

// ask sends one request head to the door and returns the status and the Sward-Error of the answer.
func ask(t *testing.T, n *testnet.Net, p testnet.Partner, head string) (status int, code string) {
	t.Helper()
	c, err := net.Dial("tcp", n.Info().Socks)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	credentials := base64.StdEncoding.EncodeToString([]byte(p.Name + ":" + p.Key))
	fmt.Fprintf(c, "%s\r\nProxy-Authorization: Basic %s\r\nConnection: close\r\n\r\n", head, credentials)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	defer answer.Body.Close()
	if status := answer.Header.Get("Proxy-Status"); answer.StatusCode >= 400 && !strings.HasPrefix(status, "sward; error=") {
		t.Errorf("%q: Proxy-Status %q, want sward; error=…", head, status)
	}
	return answer.StatusCode, answer.Header.Get("Sward-Error")
}

func TestNothingAtHomeIsReachedHoweverItIsWritten(t *testing.T) {
	home, err := net.Listen("tcp", "127.0.0.1:0") // a device at home: whoever connects has broken in
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	reached := make(chan string, 16)
	go func() {
		for {
			c, err := home.Accept()
			if err != nil {
				return
			}
			reached <- c.RemoteAddr().String()
			c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(home.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	world := func(w *sandbox.World) {
		w.Name("two.example", netip.MustParseAddr("44.128.0.10"), netip.MustParseAddr("10.0.0.1"))
		w.Name("mapped.example", netip.MustParseAddr("::ffff:127.0.0.1"))
		w.Name("nat64.example", netip.MustParseAddr("64:ff9b::7f00:1"))
		for _, address := range []string{"192.168.1.1", "10.0.0.1", "127.0.0.1", "::1"} {
			for _, port := range []uint16{80, 443} {
				w.Host(netip.AddrPortFrom(netip.MustParseAddr(address), port), home.Addr().String())
			}
		}
	}
	testnet.Run(t, testnet.Config{Site: blobSite, World: world}, func(ctx context.Context, n *testnet.Net) {
		for host, want := range map[string]struct {
			status int
			code   string
		}{
			"127.0.0.1":                {403, "dest_loopback"},
			"127.0.0.1:" + port:        {403, ""},
			"[::1]":                    {403, "dest_loopback"},
			"[::ffff:127.0.0.1]":       {403, ""},
			"2130706433":               {400, "bad_host"},
			"0x7f000001":               {400, "bad_host"},
			"0177.0.0.1":               {400, "bad_host"},
			"127.1":                    {400, "bad_host"},
			"0.0.0.0":                  {403, "dest_unspecified"},
			"192.168.1.1":              {403, "dest_private"},
			"169.254.169.254":          {403, "dest_linklocal"},
			"100.64.0.1":               {403, "dest_shared"},
			"[64:ff9b::7f00:1]":        {403, ""},
			"[2002:7f00:1::]":          {403, ""},
			"localhost":                {403, "dest_loopback"},
			"router.local":             {403, "dest_name"},
			"metadata.google.internal": {403, "dest_name"},
			sandbox.TrapName:           {403, "dest_private"},
			"two.example":              {403, "dest_private"},
			"mapped.example":           {403, ""},
			"nat64.example":            {403, ""},
			"no-such-name.example":     {502, "dns_not_found"},
		} {
			plainStatus, plainCode := ask(t, n, n.Partners[0], "GET http://"+host+"/ HTTP/1.1\r\nHost: "+host)
			if plainStatus != want.status || want.code != "" && plainCode != want.code {
				t.Errorf("GET http://%s/: %d %s, want %d %s", host, plainStatus, plainCode, want.status, want.code)
			}
			target := host
			if !strings.Contains(strings.TrimPrefix(host, "["), ":") || strings.HasSuffix(host, "]") {
				target += ":443"
			}
			status, code := ask(t, n, n.Partners[0], "CONNECT "+target+" HTTP/1.1\r\nHost: "+target)
			if status != want.status || want.code != "" && code != want.code {
				t.Errorf("CONNECT %s: %d %s, want %d %s", target, status, code, want.status, want.code)
			}
		}
		select {
		case from := <-reached:
			t.Errorf("a device at home was reached from %s", from)
		default:
		}
	})
}

func TestEachRefusalHasItsCode(t *testing.T) {
	world := func(w *sandbox.World) {
		w.Name("closed.example", netip.MustParseAddr("44.128.0.77")) // nothing listens there
		w.Name("denied.example", netip.MustParseAddr("44.128.0.10"))
	}
	rules := func(_ int, c *edge.Config) { c.Settings.Policy.Deny = []string{"denied.example"} }
	testnet.Run(t, testnet.Config{Site: blobSite, World: world, Edge: rules, Partners: 2}, func(ctx context.Context, n *testnet.Net) {
		good := n.Partners[0]
		poorKey, err := n.Hub().Book.AddPartner(ctx, "poor", policy.Purpose("market-research").Code())
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name    string
			partner testnet.Partner
			target  string
			status  int
			code    string
		}{
			{"wrong key", testnet.Partner{Name: good.Name, Key: "wrong"}, sandbox.SiteName + ":443", 407, "auth_failed"},
			{"unknown partner", testnet.Partner{Name: "nobody", Key: good.Key}, sandbox.SiteName + ":443", 407, "auth_failed"},
			{"no balance", testnet.Partner{Name: "poor", Key: poorKey}, sandbox.SiteName + ":443", 402, "balance_exhausted"},
			{"owner's rule", good, "denied.example:443", 403, "domain_denied"},
			{"category", good, "www.whitehouse.gov:443", 403, "category_denied"},
			{"mail port", good, sandbox.SiteName + ":25", 403, "port_mail"},
			{"other port", good, sandbox.SiteName + ":8080", 403, "port_not_allowed"},
			{"no such name", good, "missing.example:443", 502, "dns_not_found"},
			{"target refuses", good, "closed.example:443", 502, "dial_refused"},
		} {
			t.Run(test.name, func(t *testing.T) {
				status, code := ask(t, n, test.partner, "CONNECT "+test.target+" HTTP/1.1\r\nHost: "+test.target)
				if status != test.status || code != test.code {
					t.Errorf("%d %s, want %d %s", status, code, test.status, test.code)
				}
			})
		}
		t.Run("no edge", func(t *testing.T) {
			if err := n.Edges()[0].Pause(0); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "no edge takes streams", func() bool {
				status, code := ask(t, n, good, "CONNECT "+sandbox.SiteName+":443 HTTP/1.1\r\nHost: "+sandbox.SiteName)
				return status == 503 && (code == "no_edge" || code == "paused")
			})
		})
	})
}

// waitUntil polls for what another goroutine brings about.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}
