package portmap

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Answers as Debian's miniupnpd 2.3.1 gave them, in homelab.
const (
	pmpAddressAnswer = "008000000000000a2c800065"
	pmpMapAnswer     = "008100000000000a1151115100000e10"
	pmpAnnouncement  = pmpAddressAnswer
	pcpMapAnswer     = "0281000000000e100000000a000000000000000000000000" + "0102030405060708090a0b0c" + "11000000" + "11511151" + "00000000000000000000ffff2c800065"
	pcpGreeting      = "02800000000000000000000a000000000000000000000000"
)

func TestAnswersAreRead(t *testing.T) {
	outside := netip.MustParseAddr("44.128.0.101")
	for text, want := range map[string]pmpResponse{
		pmpAddressAnswer:   {op: pmpAddress, epoch: 10, address: outside},
		pmpMapAnswer:       {op: pmpMapUDP, epoch: 10, inside: 4433, outside: 4433, life: time.Hour},
		"0080000300000001": {op: pmpAddress, result: 3, epoch: 1},
	} {
		got, ok := parsePMP(unhex(t, text))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(pmpResponse{}), cmpopts.EquateComparable(netip.Addr{})); !ok || diff != "" {
			t.Errorf("%s: %v, want (-) got (+):\n%s", text, ok, diff)
		}
	}
	for text, want := range map[string]pcpResponse{
		pcpGreeting: {op: pcpAnnounce, epoch: 10},
		pcpMapAnswer: {op: pcpMap, epoch: 10, life: time.Hour, nonce: [pcpNonce]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, inside: 4433,
			outside: netip.AddrPortFrom(outside, 4433)},
	} {
		got, ok := parsePCP(unhex(t, text))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(pcpResponse{}), cmpopts.EquateComparable(netip.AddrPort{})); !ok || diff != "" {
			t.Errorf("%s: %v, want (-) got (+):\n%s", text, ok, diff)
		}
	}
}

func TestRequestsAreWritten(t *testing.T) {
	want := mapping{internal: 4433, external: netip.MustParseAddrPort("0.0.0.0:4434")}
	if got := hex.EncodeToString(pmpMapRequest(4433, 4434, time.Hour)); got != "000100001151115200000e10" {
		t.Errorf("NAT-PMP: %s", got)
	}
	got := hex.EncodeToString(pcpMapRequest([pcpNonce]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, want, time.Hour, netip.MustParseAddr("192.168.11.2")))
	if got != "0201000000000e1000000000000000000000ffffc0a80b02"+"0102030405060708090a0b0c"+"11000000"+"11511152"+"00000000000000000000ffff00000000" {
		t.Errorf("PCP: %s", got)
	}
}

// Every cut of an answer is none.
func TestCutAnswersAreRefused(t *testing.T) {
	for _, text := range []string{pmpAddressAnswer, pmpMapAnswer, pcpMapAnswer, pcpGreeting} {
		b := unhex(t, text)
		for n := range b {
			_, pmp := parsePMP(b[:n])
			_, pcp := parsePCP(b[:n])
			if pmp || pcp {
				t.Errorf("the first %d bytes of %s are an answer", n, text)
			}
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, text := range []string{pmpAddressAnswer, pmpMapAnswer, pcpMapAnswer, pcpGreeting} {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		_, pmp := parsePMP(b)
		_, pcp := parsePCP(b)
		if pmp && pcp {
			t.Error("two protocols at once")
		}
		if !bytes.Equal(b, before) {
			t.Error("the answer was changed")
		}
	})
}

func TestARouterThatForgotIsTold(t *testing.T) {
	start := time.Now()
	for name, c := range map[string]struct {
		after  time.Duration
		clock  uint32
		forgot bool
	}{
		"as it should":         {time.Hour, 1000 + 3600, false},
		"the same second":      {0, 1000, false},
		"a second back":        {0, 999, false},
		"rounded":              {2 * time.Second, 1000, false},
		"a restart":            {time.Minute, 5, true},
		"a restart, long ago":  {2 * time.Hour, 1000 + 3600, true},
		"a clock that is slow": {time.Hour, 1000 + 3600 - 200, false},
		"too slow":             {time.Hour, 1000 + 3600 - 300, true},
		"a clock that leaps":   {time.Second, 1000 + 3600, true},
	} {
		var e epoch
		if e.heard(1000, start) {
			t.Errorf("%s: the first word is no news", name)
		}
		if got := e.heard(c.clock, start.Add(c.after)); got != c.forgot {
			t.Errorf("%s: forgot %v, want %v", name, got, c.forgot)
		}
	}
}
