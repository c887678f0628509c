package edge

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// H13: a VPN that comes up pauses the edge within ten seconds, and its switch ends that at once. The whole edge runs in a
// network namespace of its own, where a tunnel can be built.
func TestAVPNHoldsTheEdgeWithinTenSeconds(t *testing.T) {
	const mark = "SWARD_EDGE_NAMESPACE"
	if os.Getenv(mark) == "" {
		if _, err := exec.LookPath("unshare"); err != nil || os.Getuid() != 0 {
			t.Skip("network namespaces need root")
		}
		run := exec.CommandContext(t.Context(), "unshare", "-n", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		run.Env = append(os.Environ(), mark+"=1")
		if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	ip := func(script string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	ip(`ip link set lo up; ip link add line0 type veth peer name line1; ip link set line0 up; ip link set line1 up
		ip addr add 44.128.7.2/24 dev line0; ip route add default via 44.128.7.1`)
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t), func(c *Config) { c.Settings.PauseOn.VPN = true })
	s := r.next()
	running, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	ip("ip tuntap add dev tun7 mode tun; ip link set tun7 up; ip addr add 10.9.0.2/24 dev tun7; ip route replace default dev tun7")
	begin := time.Now()
	if err := running.SetReadDeadline(begin.Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the running stream: %v, want it cut", err)
	}
	t.Logf("the stream was cut after %s", time.Since(begin).Round(time.Millisecond))
	awaitStatus(t, s, true)
	status := e.Status(t.Context())
	if len(status.Holds) != 1 || status.Holds[0].Name != "vpn" || !strings.Contains(status.Holds[0].Text, "tun7") || status.Serving {
		t.Errorf("the owner sees %+v", status.Holds)
	}
	change := e.Settings()
	change.PauseOn.VPN = false
	if err := e.Change(change); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, false)
	if holds := e.Status(t.Context()).Holds; len(holds) != 0 {
		t.Errorf("with its switch off: %+v", holds)
	}
}
