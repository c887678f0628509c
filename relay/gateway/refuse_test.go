package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
	"sward/policy"
)

func TestEveryCodeIsToldInEveryDialect(t *testing.T) {
	for _, code := range wire.Codes()[1:] {
		t.Run(code.Name(), func(t *testing.T) {
			d := openDoor(t, http.HandlerFunc(echo))
			d.refuse = fmt.Errorf("dial: %w", wire.Errorf(code, `it said "no"`))
			for _, method := range []string{"GET", "CONNECT"} {
				head := get(host, strings.TrimSuffix(basic, "\r\n"))
				if method == "CONNECT" {
					head = "CONNECT " + site + ":443 HTTP/1.1\r\n" + host + ":443\r\n" + basic + "\r\n"
				}
				_, r := d.raw(t, head)
				resp, body := response(t, r, "GET")
				checkRefusal(t, code, resp, body)
				want := fmt.Sprintf(`sward; error=%s; details="%s: it said \"no\""`, code.ProxyError(), code.Name())
				if got := resp.Header.Get("Proxy-Status"); got != want {
					t.Errorf("Proxy-Status: got %s, want %s", got, want)
				}
			}
			if got := d.socksReply(t, request(socksConnect, socksName, site, 443)); got != code.SOCKS() {
				t.Errorf("SOCKS reply: got %d, want %d", got, code.SOCKS())
			}
			if diff := cmp.Diff([]wire.Code{code, code, code}, d.refusals()); diff != "" {
				t.Errorf("told to Refused (-want +got):\n%s", diff)
			}
		})
	}
}

func checkRefusal(t *testing.T, code wire.Code, resp *http.Response, body string) {
	t.Helper()
	if resp.StatusCode != code.HTTPStatus() {
		t.Errorf("status: got %d, want %d", resp.StatusCode, code.HTTPStatus())
	}
	billable := "?0"
	if resp.Header.Get("Sward-Edge") != "" {
		billable = "?1" // bytes went out before it failed
		if !code.Midway() {
			t.Errorf("%s came after bytes had moved, which its table denies", code)
		}
	}
	retry := ""
	if d := code.Retry(); d > 0 {
		retry = strconv.Itoa(int(d / time.Second))
	}
	for name, want := range map[string]string{
		"Sward-Error": code.Name(), "Sward-Fault": string(code.Owner()), "Sward-Billable": billable, "Retry-After": retry, "Content-Type": "text/plain; charset=utf-8",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if want := code.Name() + ": " + code.Meaning(); !strings.HasPrefix(body, want) {
		t.Errorf("body: got %q, want it to begin with %q", body, want)
	}
	if challenged := resp.Header.Get("Proxy-Authenticate") != ""; challenged != (resp.StatusCode == 407) {
		t.Errorf("Proxy-Authenticate: got %v with status %d", challenged, resp.StatusCode)
	}
}

// A wait that is known better than by the code is told in whole seconds, never too few.
func TestRetryAfterIsRoundedUp(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0: "60", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Hour: "3600",
	} {
		resp := refusalResponse(&wire.Error{Code: wire.TooManyAttempts, After: after})
		if got := resp.Header.Get("Retry-After"); got != want {
			t.Errorf("after %v: got %q, want %q", after, got, want)
		}
		resp.Body.Close()
	}
	resp := refusalResponse(&wire.Error{Code: wire.PortMail})
	defer resp.Body.Close()
	if got, ok := resp.Header["Retry-After"]; ok {
		t.Errorf("port_mail: got Retry-After %q, want none", got)
	}
}

func TestTargetNobodyMayReachIsNotDialled(t *testing.T) {
	own := netip.MustParseAddr("93.184.216.34")
	d := openDoor(t, http.HandlerFunc(echo), func(c *Config) { c.Gate = policy.Gate{Network: []netip.Addr{own}} })
	for target, want := range map[string]wire.Code{
		"127.0.0.1:80":          wire.DestLoopback,
		"localhost:80":          wire.DestLoopback,
		"[::1]:80":              wire.DestLoopback,
		"10.0.0.1:443":          wire.DestPrivate,
		"192.168.1.1:80":        wire.DestPrivate,
		"169.254.169.254:80":    wire.DestLinkLocal,
		"0.0.0.0:80":            wire.DestUnspecified,
		"100.64.0.1:80":         wire.DestShared,
		"[::ffff:127.0.0.1]:80": wire.DestEmbedded,
		"[::ffff:7f00:1]:80":    wire.DestEmbedded,
		"[64:ff9b::7f00:1]:80":  wire.DestEmbedded,
		"[fd00:ec2::254]:80":    wire.DestULA,
		"[fe80::1%25eth0]:80":   wire.BadHost,
		"metadata.internal:80":  wire.DestName,
		"intranet:80":           wire.DestName,
		"93.184.216.34:80":      wire.DestNetwork,
		"2130706433:80":         wire.BadHost,
		"0x7f000001:80":         wire.BadHost,
		"0177.0.0.1:80":         wire.BadHost,
		"127.1:80":              wire.BadHost,
		"127.0.0.1.:80":         wire.BadHost,
		"a@b:80":                wire.BadHost,
		site + ":8o":            wire.BadPort,
		site + ":0":             wire.BadPort,
		site + ":65536":         wire.BadPort,
		site + ":-1":            wire.BadPort,
		site + ":080":           wire.BadPort,
		site + ":":              wire.BadPort,
		"intranet:8o":           wire.BadPort,
		site + ":443,80":        wire.BadPort,
		site + ":25":            wire.PortMail,
		site + ":587":           wire.PortMail,
		site + ":22":            wire.PortNotAllowed,
		site + ":8080":          wire.PortNotAllowed,
	} {
		t.Run(target, func(t *testing.T) {
			for _, head := range []string{
				"CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n" + basic + "\r\n",
				"GET http://" + target + "/ HTTP/1.1\r\nHost: " + target + "\r\n" + basic + "\r\n",
			} {
				_, r := d.raw(t, head)
				resp, body := response(t, r, "GET")
				checkRefusal(t, want, resp, body)
			}
		})
	}
	// Without a port a URL means 80; a CONNECT means nothing.
	for head, want := range map[string]wire.Code{
		"GET http://2130706433/ HTTP/1.1\r\nHost: 2130706433\r\n":                 wire.BadHost,
		"GET http://[::ffff:127.0.0.1]/ HTTP/1.1\r\nHost: [::ffff:127.0.0.1]\r\n": wire.DestEmbedded,
		"CONNECT " + site + " HTTP/1.1\r\n":                                       wire.BadPort,
		"CONNECT " + site + ":80/y HTTP/1.1\r\n":                                  wire.BadPort,
	} {
		_, r := d.raw(t, head+basic+"\r\n")
		resp, body := response(t, r, "GET")
		checkRefusal(t, want, resp, body)
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v, want nothing", got)
	}
}

func TestOpenedPortIsDialled(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo), func(c *Config) { c.Ports = []uint16{80, 8080} })
	_, r := d.raw(t, "GET http://"+site+":8080/ HTTP/1.1\r\n"+host+":8080\r\n"+basic+"\r\n")
	if resp, _ := response(t, r, "GET"); resp.StatusCode != 200 {
		t.Errorf("port 8080: got %s, want 200", resp.Status)
	}
	if diff := cmp.Diff([]string{site + ":8080"}, d.dials()); diff != "" {
		t.Errorf("dialled (-want +got):\n%s", diff)
	}
}

func TestMailPortCannotBeOpened(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	_, err := New(Config{Listener: dummy{}, Authorise: authorise, Dial: d.dial, Ports: []uint16{25}})
	if err == nil {
		t.Error("a door with port 25 was made")
	}
}

func TestCredentialIsAskedForAndChecked(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for name, c := range map[string]struct {
		line string
		want wire.Code
	}{
		"missing":        {"", wire.AuthRequired},
		"wrong key":      {"Proxy-Authorization: " + basicOf(partner, "wrong") + "\r\n", wire.AuthFailed},
		"wrong name":     {"Proxy-Authorization: " + basicOf("nobody", key) + "\r\n", wire.AuthFailed},
		"other scheme":   {"Proxy-Authorization: Bearer " + key + "\r\n", wire.AuthFailed},
		"not base64":     {"Proxy-Authorization: Basic %%%\r\n", wire.AuthFailed},
		"two":            {basic + basic, wire.AuthFailed},
		"for the target": {"Authorization: " + basicOf(partner, key) + "\r\n", wire.AuthRequired},
	} {
		t.Run(name, func(t *testing.T) {
			for _, head := range []string{
				"CONNECT " + site + ":443 HTTP/1.1\r\n" + host + ":443\r\n" + c.line + "\r\n",
				"GET http://" + site + "/ HTTP/1.1\r\n" + host + "\r\n" + c.line + "\r\n",
			} {
				_, r := d.raw(t, head)
				resp, body := response(t, r, "GET")
				checkRefusal(t, c.want, resp, body)
			}
		})
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v, want nothing", got)
	}
}

// A refused request leaves the connection usable: curl and browsers answer a 407 on the same one.
func TestChallengeIsAnsweredOnTheSameConnection(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	conn, r := d.raw(t, get(host))
	if resp, _ := response(t, r, "GET"); resp.StatusCode != 407 || resp.Close {
		t.Fatalf("got %s, close %v, want 407 and the connection open", resp.Status, resp.Close)
	}
	if _, err := io.WriteString(conn, get(host, strings.TrimSuffix(basic, "\r\n"))); err != nil {
		t.Fatal(err)
	}
	if resp, _ := response(t, r, "GET"); resp.StatusCode != 200 {
		t.Errorf("with the credential: got %s, want 200", resp.Status)
	}
}

// C15: what a partner sends to the target comes back in no refusal, and neither does the cause of a fault of ours.
func TestRefusalTellsNoSecrets(t *testing.T) {
	const token, cause = "bearer-T", "open /var/lib/sward/grants"
	for want, err := range map[wire.Code]error{
		wire.DNSNotFound: wire.Errorf(wire.DNSNotFound, "no such name"),
		wire.Internal:    errors.New(cause),
		wire.EdgeTimeout: fmt.Errorf("dial: %w", context.DeadlineExceeded),
		wire.PortMail:    &policy.Denied{Rule: "port_mail", Detail: "port 25 carries mail"},
	} {
		d := openDoor(t, http.HandlerFunc(echo))
		d.refuse = err
		_, r := d.raw(t, get(host, strings.TrimSuffix(basic, "\r\n"), "Authorization: Bearer "+token))
		resp, body := response(t, r, "GET")
		checkRefusal(t, want, resp, body)
		for _, secret := range []string{token, key, cause} {
			if all := fmt.Sprint(resp.Header, body); strings.Contains(all, secret) {
				t.Errorf("%s: the answer tells %q: %s", want, secret, all)
			}
		}
	}
}

// A detail may come from an edge, and must not break out of its header or its line.
func TestHostileDetailStaysInItsPlace(t *testing.T) {
	resp := refusalResponse(wire.Errorf(wire.DNSError, "%s", "x\r\nSet-Cookie: a=b\"; next \\ ü"+strings.Repeat("y", 500)))
	want := `sward; error=dns_error; details="dns_error: x??Set-Cookie: a=b\"; next \\ ?`
	if got := resp.Header.Get("Proxy-Status"); !strings.HasPrefix(got, want) || len(got) > 300 {
		t.Errorf("Proxy-Status: got %s, want it to begin with %s and to be cut", got, want)
	}
	body, _ := io.ReadAll(resp.Body)
	if strings.Count(string(body), "\n") != 3 {
		t.Errorf("body: got %q, want three lines", body)
	}
}
