package gateway

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sward/internal/wire"
	"sward/policy"
)

// loginText is greeting and credential of a client that does not wait for answers.
func loginText(name, k string) string {
	return "\x05\x01\x02" + "\x01" + string(rune(len(name))) + name + string(rune(len(k))) + k
}

// request is a SOCKS request; address is in text for a name, and parsed for the other types.
func request(command, kind byte, address string, port uint16) string {
	b := []byte{socksVersion, command, 0, kind}
	if kind == socksName {
		b = append(append(b, byte(len(address))), address...)
	} else {
		b = append(b, netip.MustParseAddr(address).AsSlice()...)
	}
	return string(binary.BigEndian.AppendUint16(b, port))
}

// socksReply logs in, sends req and returns the reply's code.
func (d *door) socksReply(t *testing.T, req string) byte {
	t.Helper()
	_, r := d.raw(t, loginText(partner, key)+req)
	var answer [2 + 2 + 10]byte
	if _, err := io.ReadFull(r, answer[:]); err != nil {
		t.Fatalf("read answers: %v after %x", err, answer)
	}
	if want := []byte{socksVersion, socksUserPass, socksLogin, socksWelcome}; !bytes.Equal(answer[:4], want) {
		t.Fatalf("login: got %x, want %x", answer[:4], want)
	}
	if reply := answer[4:]; reply[0] != socksVersion || !bytes.Equal(reply[2:], []byte{0, socksIPv4, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("reply: got %x, want version 5 and the zero address", reply)
	}
	return answer[5]
}

func TestSOCKSRefusesByReply(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for _, c := range []struct {
		name string
		req  string
		want byte
	}{
		{"D02 empty name", request(socksConnect, socksName, "", 80), 1},
		{"D03 NUL in the name", request(socksConnect, socksName, "a\x00b.example", 80), 1},
		{"D03 percent in the name", request(socksConnect, socksName, "a%41.example", 80), 1},
		{"D03 newline in the name", request(socksConnect, socksName, "a.example\n", 80), 1},
		{"D03 IPv6 as a name", request(socksConnect, socksName, "2001:db8::1", 80), 1},
		{"D03 IPv6 in brackets as a name", request(socksConnect, socksName, "[::1]", 80), 1},
		{"D03 user in the name", request(socksConnect, socksName, "a@b.example", 80), 1},
		{"D04 private IPv4", request(socksConnect, socksIPv4, "192.168.1.1", 80), 2},
		{"D04 loopback IPv6", request(socksConnect, socksIPv6, "::1", 80), 2},
		{"D04 mapped IPv4", request(socksConnect, socksIPv6, "::ffff:127.0.0.1", 80), 2},
		{"D04 private IPv4 as a name", request(socksConnect, socksName, "10.0.0.1", 80), 2},
		{"decimal address as a name", request(socksConnect, socksName, "2130706433", 80), 1},
		{"local name", request(socksConnect, socksName, "router.local", 80), 2},
		{"port 0", request(socksConnect, socksName, site, 0), 1},
		{"mail port", request(socksConnect, socksName, site, 25), 2},
		{"D05 BIND", request(2, socksIPv4, "93.184.216.34", 80), 7},
		{"D05 B14 UDP ASSOCIATE", request(3, socksIPv4, "0.0.0.0", 0), 7},
		{"unknown address type", "\x05\x01\x00\x05", 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := d.socksReply(t, c.req); got != c.want {
				t.Errorf("got reply %d, want %d", got, c.want)
			}
		})
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v, want nothing", got)
	}
}

func TestSOCKSDialsNamesAndAddresses(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for target, req := range map[string]string{
		site + ":80":           request(socksConnect, socksName, site, 80),
		"93.184.216.34:80":     request(socksConnect, socksIPv4, "93.184.216.34", 80),
		"[2606:2800:220::]:80": request(socksConnect, socksIPv6, "2606:2800:220::", 80),
	} {
		if got := d.socksReply(t, req); got != 0 {
			t.Errorf("%s: got reply %d, want 0", target, got)
		}
		if got := d.dials(); got[len(got)-1] != target {
			t.Errorf("dialled %s, want %s", got[len(got)-1], target)
		}
	}
}

// What is not SOCKS5 with a credential ends with the connection, after as much as the RFCs let us say.
func TestSOCKSClosesOnWhatItDoesNotSpeak(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for _, c := range []struct {
		name, sent, want string
	}{
		{"D01 no methods", "\x05\x00", ""},
		{"D01 255 methods, none of ours", "\x05\xff" + strings.Repeat("\x00", 255), "\x05\xff"},
		{"D01 255 methods, ours last", "\x05\xff" + strings.Repeat("\x00", 254) + "\x02", "\x05\x02"},
		{"D01 version 4", "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", ""},
		{"neither dialect", "\x16\x03\x01", ""},
		{"D02 name shorter than it says", loginText(partner, key) + "\x05\x01\x00\x03\xffshort", "\x05\x02\x01\x00"},
		{"wrong version of the login", "\x05\x01\x02\x02", "\x05\x02"},
		{"wrong version of the request", loginText(partner, key) + "\x04\x01\x00\x01", "\x05\x02\x01\x00"},
		{"wrong key", loginText(partner, "wrong"), "\x05\x02\x01\x02"},
		{"empty name and key", loginText("", ""), "\x05\x02\x01\x02"},
		{"longest name and key", "\x05\x01\x02\x01\xff" + strings.Repeat("n", 255) + "\xff" + strings.Repeat("k", 255), "\x05\x02\x01\x02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, r := d.raw(t, c.sent)
			conn.CloseWrite() // a client that waits would wait for the deadline
			got, err := io.ReadAll(r)
			if err != nil && !isReset(err) {
				t.Fatalf("read: %v", err)
			}
			if string(got) != c.want {
				t.Errorf("got %x, want %x and the end", got, c.want)
			}
		})
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v, want nothing", got)
	}
}

func isReset(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// The parsers never panic, never read past the message, and give only targets that the strict parser gives.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x02\x00\x02"))
	f.Add([]byte(loginText(partner, key)[3:]))
	f.Add([]byte(request(socksConnect, socksName, site, 443)))
	f.Add([]byte(request(socksConnect, socksIPv6, "2606:2800:220::", 80)))
	f.Add([]byte(request(3, socksIPv4, "0.0.0.0", 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if methods, err := readMethods(bytes.NewReader(b)); err == nil && len(methods) != int(b[1]) {
			t.Errorf("got %d methods of %x", len(methods), b)
		}
		if name, k, err := readLogin(bytes.NewReader(b)); err == nil {
			want := string([]byte{1, byte(len(name))}) + name + string([]byte{byte(len(k))}) + k
			if !bytes.HasPrefix(b, []byte(want)) {
				t.Errorf("got name %q and key %q of %x", name, k, b)
			}
		}
		target, err := readRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			if code := refusal(err).Code; !errors.Is(err, errNotSOCKS) && code == wire.Internal {
				t.Errorf("refused with %v, want a code", err)
			}
			return
		}
		if again, err := policy.ParseTarget(target.String()); err != nil || again != target {
			t.Errorf("got target %v, which reads back as %v, %v", target, again, err)
		}
	})
}
