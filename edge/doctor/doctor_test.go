package doctor_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/edge/doctor"
	"sward/internal/testnet"
)

// honest is a resolver that knows no name.
func honest(_ context.Context, name string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func own(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "edge")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// want holds the finding of a check to a level and to words.
func want(t *testing.T, found []doctor.Finding, check string, level doctor.Level, words string) {
	t.Helper()
	for _, f := range found {
		if strings.HasPrefix(f.Check, check) {
			if f.Level != level || !strings.Contains(f.Found, words) {
				t.Errorf("%s: got %s %q, want %s with %q", check, f.Level, f.Found, level, words)
			}
			if f.Level == doctor.Problem && f.Do == "" {
				t.Errorf("%s: a problem without a word of what to do", check)
			}
			return
		}
	}
	t.Errorf("nothing is said of %s in %+v", check, found)
}

func TestDoctorFindsNothingWrongInAHealthyNetwork(t *testing.T) {
	var home edge.Config
	testnet.Run(t, testnet.Config{Edge: func(_ int, c *edge.Config) { home = *c }}, func(ctx context.Context, n *testnet.Net) {
		before := n.Edges()[0].Status(ctx)
		hub := home.Hub.(*accounting.Client)
		cfg := doctor.Config{
			Dir: own(t), Network: home.Network, HubAddr: hub.Addr, Hub: hub, Edge: home.Key.ID(), Resolve: honest,
			Router: doctor.Finding{Check: "router", Level: doctor.OK, Found: "maps nothing"},
		}
		found := doctor.Examine(ctx, cfg)
		want(t, found, "hub", doctor.OK, "answers at "+hub.Addr)
		want(t, found, "clock", doctor.OK, "agrees")
		want(t, found, "dns", doctor.OK, "honest")
		want(t, found, "relay", doctor.OK, "over QUIC and TCP")
		want(t, found, "udp", doctor.OK, "gets out")
		want(t, found, "mtu", doctor.OK, "1480")
		want(t, found, "nat", doctor.Note, "127.0.0.1")
		want(t, found, "router", doctor.OK, "maps nothing")
		want(t, found, "disk", doctor.OK, "can be written")

		cfg.Patience = 3 * time.Second // for what never answers
		cfg.Relays = []edge.Relay{{ID: before.Relays[0].ID, Addr: withoutUDP(t, before.Relays[0].Addr)}}
		found = doctor.Examine(ctx, cfg)
		want(t, found, "relay", doctor.OK, "over TCP in")
		want(t, found, "udp", doctor.Note, "TCP does")

		cfg.Relays = []edge.Relay{{ID: hub.Hub, Addr: before.Relays[0].Addr}, {ID: before.Relays[0].ID, Addr: "127.0.0.1:1"}}
		found = doctor.Examine(ctx, cfg)
		want(t, found, "relay "+hub.Hub.Short(), doctor.Problem, "somebody else answers")
		want(t, found, "relay "+before.Relays[0].ID.Short(), doctor.Problem, "neither over UDP nor over TCP")
		want(t, found, "udp", doctor.Problem, "neither")

		after := n.Edges()[0].Status(ctx)
		if !after.Serving || !after.Relays[0].Since.Equal(before.Relays[0].Since) {
			t.Errorf("the running edge was disturbed: before %+v, after %+v", before.Relays, after.Relays)
		}
	})
}

// withoutUDP is an address that leads to another over TCP alone.
func withoutUDP(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer far.Close()
				go io.Copy(far, near)
				io.Copy(near, far)
			}()
		}
	}()
	return l.Addr().String()
}

// hubAt is a hub whose clock is off, or which is away.
type hubAt struct {
	off time.Duration
	err error
}

func (h hubAt) Now(context.Context) (time.Time, error) { return time.Now().Add(h.off), h.err }

func (h hubAt) Directory(context.Context) (accounting.SignedDirectory, error) {
	return accounting.SignedDirectory{}, h.err
}

func TestDoctorHoldsTheClockToTheHubs(t *testing.T) {
	for _, c := range []struct {
		hub   hubAt
		level doctor.Level
		words string
	}{
		{hubAt{}, doctor.OK, "agrees"},
		{hubAt{off: 3 * time.Minute}, doctor.Note, "3m0s behind"},
		{hubAt{off: -3 * time.Hour}, doctor.Problem, "3h0m0s ahead"},
		{hubAt{err: errors.New("connection refused")}, doctor.Note, "cannot be compared"},
	} {
		found := doctor.Examine(t.Context(), doctor.Config{Dir: own(t), Network: "test", HubAddr: "192.0.2.1:7400", Hub: c.hub, Resolve: honest})
		want(t, found, "clock", c.level, c.words)
		if c.hub.err != nil {
			want(t, found, "hub", doctor.Problem, "connection refused")
			want(t, found, "relays", doctor.Problem, "cannot be read")
		}
	}
}

func TestDoctorCatchesADNSServerThatLies(t *testing.T) {
	for name, c := range map[string]struct {
		resolve func(context.Context, string) ([]netip.Addr, error)
		level   doctor.Level
		words   string
	}{
		"always": {func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("198.51.100.7")}, nil
		}, doctor.Note, "198.51.100.7"},
		"but not of what cannot exist": {func(ctx context.Context, name string) ([]netip.Addr, error) {
			if strings.HasSuffix(name, ".invalid") {
				return honest(ctx, name)
			}
			return []netip.Addr{netip.MustParseAddr("198.51.100.8")}, nil
		}, doctor.Note, "198.51.100.8"},
		"silent": {func(context.Context, string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
		}, doctor.Problem, "no DNS server answers"},
		"honest": {honest, doctor.OK, "honest"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, doctor.Examine(t.Context(), doctor.Config{Dir: own(t), Resolve: c.resolve}), "dns", c.level, c.words)
		})
	}
	found := doctor.Examine(t.Context(), doctor.Config{Dir: own(t), HubAddr: "hub.example:7400", Resolve: honest})
	want(t, found, "dns", doctor.Problem, "hub.example does not resolve")
}

func TestDoctorFindsFilesThatOthersMayRead(t *testing.T) { // L09
	if runtime.GOOS == "windows" {
		t.Skip("access is not in the mode there")
	}
	dir := own(t)
	want(t, doctor.Examine(t.Context(), doctor.Config{Dir: dir, Resolve: honest}), "files", doctor.OK, "alone")
	if err := os.WriteFile(filepath.Join(dir, "key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "key"), 0o640); err != nil {
		t.Fatal(err)
	}
	want(t, doctor.Examine(t.Context(), doctor.Config{Dir: dir, Resolve: honest}), "files", doctor.Problem, "key (0640)")
}
