package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
	"sward/policy"
)

// asker records what a door asks of its two functions.
type asker struct {
	name, key string
	exit      Exit
}

// openAsking starts a door that lets everybody in and dials nothing.
func openAsking(t *testing.T) (*door, *asker) {
	a := new(asker)
	d := openDoor(t, http.HandlerFunc(echo), func(c *Config) {
		c.Authorise = func(_ context.Context, name, key string, _ netip.Addr) (Account, error) {
			a.name, a.key = name, key
			return buyer(name), nil
		}
		c.Dial = func(_ context.Context, _ Account, _ policy.Target, exit Exit) (Conn, error) {
			a.exit = exit
			return nil, wire.Errorf(wire.NoMatch, "nobody is there")
		}
	})
	return d, a
}

func TestEveryGrammarIsHeardInEveryDialect(t *testing.T) {
	berlin := Exit{Country: "de", City: "berlin", Session: "abc12345", TTL: 30 * time.Minute}
	minute := berlin
	minute.Idle = time.Minute
	for _, c := range []struct {
		user, pass string
		want       Exit
	}{
		{"acme", key, Exit{}},
		{"acme-country-de-city-berlin-session-abc12345-ttl-30m", key, berlin},
		{"brd-customer-acme-zone-z-asn-3320", key, Exit{ASN: 3320}},
		{"customer-acme-cc-DE-city-berlin-sessid-abc12345-sesstime-30", key, minute},
		{"acme", key + "_country-de_city-berlin_session-abc12345_lifetime-30m", berlin},
		{"package-acme-country-de-city-berlin-sessionid-abc12345-sessionlength-1800", key, berlin},
		{"acme-res-de", key, Exit{Country: "de"}},
		{"acme__cr.de;city.berlin;sessid.abc12345", key, berlin},
	} {
		t.Run(c.user, func(t *testing.T) {
			d, asked := openAsking(t)
			line := "Proxy-Authorization: " + basicOf(c.user, c.pass)
			check := func(how string) {
				t.Helper()
				if diff := cmp.Diff(asker{"acme", key, c.want}, *asked, cmp.AllowUnexported(asker{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
				*asked = asker{}
			}
			for how, head := range map[string]string{
				"plain": get(host, line), "CONNECT": "CONNECT " + site + ":443 HTTP/1.1\r\n" + host + ":443\r\n" + line + "\r\n\r\n",
			} {
				_, r := d.raw(t, head)
				resp, body := response(t, r, "GET")
				checkRefusal(t, wire.NoMatch, resp, body)
				check(how)
			}
			_, r := d.raw(t, loginText(c.user, c.pass)+request(socksConnect, socksName, site, 443))
			if got, _ := io.ReadAll(r); string(got) != "\x05\x02\x01\x00"+string(socksReply(wire.NoMatch)) {
				t.Errorf("SOCKS: got %x, want the reply of no_match", got)
			}
			check("SOCKS")
		})
	}
}

// A parameter that cannot be read is refused before anybody is asked, and named where there are words for it.
func TestBadParameterIsNamed(t *testing.T) {
	d, asked := openAsking(t)
	const user = "acme-country-deu"
	line := "Proxy-Authorization: " + basicOf(user, key)
	for _, head := range []string{
		get(host, line), "CONNECT " + site + ":443 HTTP/1.1\r\n" + host + ":443\r\n" + line + "\r\n\r\n",
	} {
		_, r := d.raw(t, head)
		resp, body := response(t, r, "GET")
		checkRefusal(t, wire.BadParameter, resp, body)
		want := "country takes one two-letter country code of ISO 3166-1, or eu (grammar: Sward)"
		if all := resp.Header.Get("Proxy-Status"); !strings.Contains(all, want) || !strings.Contains(body, want) {
			t.Errorf("got %q and %q, want both to hold %q", all, body, want)
		}
	}
	_, r := d.raw(t, loginText(user, key))
	if got, _ := io.ReadAll(r); string(got) != "\x05\x02\x01\x01" {
		t.Errorf("SOCKS: got %x, want a failed login of status 1", got)
	}
	if *asked != (asker{}) {
		t.Errorf("asked for %+v, want nothing", *asked)
	}
}

// Who mistypes the first parameter is told how names are read.
func TestUnknownNameWithHyphensIsExplained(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for user, want := range map[string]bool{"acme": false, "acme-contry-de": true} {
		_, r := d.raw(t, get(host, "Proxy-Authorization: "+basicOf(user, key)))
		resp, body := response(t, r, "GET")
		checkRefusal(t, wire.AuthFailed, resp, body)
		if got := strings.Contains(body, "before the first known parameter"); got != want {
			t.Errorf("%s: explained %v, want %v: %q", user, got, want, body)
		}
	}
}

// What is known of a line, and of the account, is on every answer that came through an edge.
func TestAnswersNameTheirExit(t *testing.T) {
	line := Line{Edge: exit, Country: "de", ASN: 3320, Class: "residential"}
	d := openDoor(t, http.HandlerFunc(echo))
	dial := d.dial
	rich := openDoor(t, http.HandlerFunc(echo), func(c *Config) {
		c.Authorise = func(context.Context, string, string, netip.Addr) (Account, error) { return poor(1 << 20), nil }
		c.Dial = func(ctx context.Context, who Account, target policy.Target, e Exit) (Conn, error) {
			conn, err := dial(ctx, who, target, e)
			if err != nil {
				return nil, err
			}
			return placedConn{conn, line}, nil
		}
	})
	for method, head := range map[string]string{
		"GET": get(host, strings.TrimSuffix(basic, "\r\n")), "CONNECT": "CONNECT " + site + ":80 HTTP/1.1\r\n" + host + ":80\r\n" + basic + "\r\n",
	} {
		_, r := rich.raw(t, head)
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: got %v, %v, want 200", method, resp, err)
		}
		resp.Body.Close()
		want := fmt.Sprint([]string{exit, "country=de, asn=3320, class=residential", "?1", "1048576"})
		got := fmt.Sprint([]string{
			resp.Header.Get("Sward-Edge"), resp.Header.Get("Sward-Exit"), resp.Header.Get("Sward-Billable"), resp.Header.Get("Sward-Balance"),
		})
		if got != want {
			t.Errorf("%s: got %s, want %s", method, got, want)
		}
	}
}

// placedConn is a connection of which more is known.
type placedConn struct {
	Conn
	line Line
}

func (c placedConn) Exit() Line { return c.line }
