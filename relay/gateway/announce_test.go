package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnswerSaysWhereItComesFrom(t *testing.T) {
	for _, c := range []struct {
		line Line
		want string
	}{
		{Line{Edge: exit}, ""},
		{Line{Edge: exit, Country: "de", ASN: 3320, Class: "residential"}, "country=de, asn=3320, class=residential"},
		{Line{Edge: exit, Country: "us", Region: "New York", City: "newyork", ASN: 4294967295, Class: "unknown"},
			`country=us, region="New York", city=newyork, asn=4294967295, class=unknown`},
		{Line{Edge: exit, City: "München"}, `city=%"M%c3%bcnchen"`},
		{Line{Edge: exit, City: "a\"b\\c"}, `city="a\"b\\c"`},
		{Line{Edge: exit, City: "x\r\nSet-Cookie: a=\"%"}, `city=%"x%0d%0aSet-Cookie: a=%22%25"`},
	} {
		h := http.Header{}
		announce(h, c.line, buyer("x"))
		want := http.Header{"Sward-Edge": {exit}, "Sward-Billable": {"?1"}}
		if c.want != "" {
			want.Set("Sward-Exit", c.want)
		}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.line, diff)
		}
	}
}

// poor is an account whose balance is low.
type poor uint64

func (p poor) LowBalance() (bytes uint64, low bool) { return uint64(p), true }

func TestLowBalanceIsTold(t *testing.T) {
	for who, want := range map[poor]string{0: "0", 1 << 20: "1048576", 1 << 63: "999999999999999"} {
		head := established(Line{Edge: exit, Country: "de"}, who)
		if !strings.Contains(head, "\r\nSward-Balance: "+want+"\r\n") {
			t.Errorf("%d bytes: got %q, want Sward-Balance: %s", who, head, want)
		}
	}
}

func TestConnectIsAnsweredInOneHead(t *testing.T) {
	want := "HTTP/1.1 200 Connection established\r\nSward-Billable: ?1\r\nSward-Edge: " + exit + "\r\nSward-Exit: country=de\r\n\r\n"
	if got := established(Line{Edge: exit, Country: "de"}, buyer("x")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
