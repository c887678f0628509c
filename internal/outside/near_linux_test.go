package outside

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRoutingTablesAreRead(t *testing.T) {
	dir := t.TempDir()
	// As a machine with little-endian words prints them: all that the programs are built for.
	four := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t01B2A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t00B2A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"eth0\tshort\n"
	six := "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000000 00000000 00450003     eth0\n" +
		"20014860486000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000000 00000000 00000001     eth0\n"
	for name, text := range map[string]string{"route": four, "ipv6_route": six} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []netip.Addr{netip.MustParseAddr("192.168.178.1"), netip.MustParseAddr("fe80::1")}
	if got := readGateways(filepath.Join(dir, "route"), filepath.Join(dir, "ipv6_route")); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
