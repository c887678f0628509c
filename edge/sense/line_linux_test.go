package sense

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// inNamespace runs the test anew in a network namespace of its own, with a line called line0 and a default route over it,
// and reports whether this is that run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "SWARD_SENSE_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		sh(t, `ip link set lo up
			ip link add line0 type veth peer name line1 && ip link set line0 up && ip link set line1 up
			ip addr add 44.128.7.2/24 dev line0 && ip neigh add 44.128.7.1 lladdr 02:00:00:00:00:01 dev line0
			ip route add default via 44.128.7.1`)
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	run := exec.CommandContext(t.Context(), "unshare", "-n", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	run.Env = append(os.Environ(), mark+"="+t.Name())
	if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (s *Sensor) fact(name string) Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.lookLocked() {
		if f.Name == name {
			return f
		}
	}
	return Fact{}
}

func TestTheWayToTheInternetIsFollowed(t *testing.T) { // H13
	if !inNamespace(t) {
		return
	}
	o := owner{switches: Switches{VPN: true, Metered: true}}
	s := o.sensor()
	s.machine.manager.address = "unix:path=/nonexistent"
	if f := s.fact(VPN); f.State != No || !strings.Contains(f.Text, "line0") {
		t.Errorf("the line itself: %+v", f)
	}
	for _, c := range []struct{ name, up, down string }{
		{"as OpenVPN does it", "ip tuntap add dev tun7 mode tun; ip link set tun7 up; ip addr add 10.9.0.2/24 dev tun7; ip route add 0.0.0.0/1 dev tun7; ip route add 128.0.0.0/1 dev tun7", "ip link del tun7"},
		{"by a rule, as wg-quick does it", "ip tuntap add dev wg7 mode tun; ip link set wg7 up; ip addr add 10.9.0.3/32 dev wg7; ip route add default dev wg7 table 51820; ip rule add not fwmark 51820 table 51820", "ip rule del table 51820; ip link del wg7"},
	} {
		sh(t, c.up)
		if f := s.fact(VPN); f.State != Yes || !strings.Contains(f.Text, "a tunnel") {
			t.Errorf("%s: %+v", c.name, f)
		}
		s.Pass()
		if got := o.names(); len(got) != 1 || got[0] != VPN {
			t.Errorf("%s: held for %v", c.name, got)
		}
		sh(t, c.down)
		if f := s.fact(VPN); f.State != No {
			t.Errorf("%s, afterwards: %+v", c.name, f)
		}
	}
	if f := s.fact(Metered); f.State != Unknown {
		t.Errorf("without anybody who knows: %+v", f)
	}
	sh(t, "ip addr add 172.20.10.3/28 dev line0; ip route replace default via 172.20.10.1")
	if f := s.fact(Metered); f.State != Yes || !strings.Contains(f.Text, "iPhone") {
		t.Errorf("at an iPhone's hotspot: %+v", f)
	}
	sh(t, "ip link set line0 down")
	if f := s.fact(VPN); f.State != Unknown {
		t.Errorf("without a way: %+v", f)
	}
}

func TestABusyLineIsTheOthersTraffic(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	var o owner
	var carried int64
	s := o.sensor()
	s.cfg.Carried = func() (int64, int64) { return carried / 2, carried / 2 }
	now := time.Now()
	s.now = func() time.Time { return now }
	conn, err := net.Dial("udp4", "44.128.7.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	move := func(bytes int) {
		packet := make([]byte, 1400)
		for sent := 0; sent < bytes; sent += len(packet) {
			if _, err := conn.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f := s.fact(Busy); f.State != Unknown {
		t.Errorf("at the first look: %+v", f)
	}
	for _, c := range []struct {
		name       string
		bytes, own int
		want       State
	}{
		{"nobody", 0, 0, No},
		{"a little", 1e6, 0, No},
		{"a download", 10e6, 0, Yes},
		{"this edge alone", 20e6, 19.5e6, No},
		{"this edge and a download", 30e6, 10e6, Yes},
	} {
		move(c.bytes)
		carried += int64(c.own)
		now = now.Add(lookEvery)
		if f := s.fact(Busy); f.State != c.want {
			t.Errorf("%s: %+v, want %s", c.name, f, c.want)
		}
	}
}
