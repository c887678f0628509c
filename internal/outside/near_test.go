package outside

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDNSServersAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# comment\nsearch corp.example\nnameserver 192.168.178.1\nnameserver\t2001:4860:4860::8888\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{
		netip.MustParseAddr("192.168.178.1"), netip.MustParseAddr("2001:4860:4860::8888"), netip.MustParseAddr("fe80::1%eth0"),
	}
	if got := readNameservers(path, filepath.Join(t.TempDir(), "missing")); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A25: what the system sends its packets and questions to is out of reach.
func TestRoutersAndDNSServersAreOwn(t *testing.T) {
	near := Near()
	t.Logf("near: %v", near)
	own := Own()
	for _, a := range near {
		if !slices.Contains(own, netip.PrefixFrom(a, a.BitLen())) {
			t.Errorf("%s is not among this machine's own: %v", a, own)
		}
	}
}
