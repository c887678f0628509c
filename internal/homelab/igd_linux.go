package homelab

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// IGD says what a router's port mapping daemon speaks. The zero value is what most do: UPnP IGD version 2, NAT-PMP and PCP.
type IGD struct {
	V1       bool          // describe itself as version 1 of UPnP IGD
	NoUPnP   bool          // NAT-PMP and PCP alone
	NoPMP    bool          // UPnP alone
	MinLease time.Duration // shorter leases are lengthened to it; default 30 s
	MaxLease time.Duration // longer leases are cut to it; default a day
	Deny     bool          // refuse every mapping
}

// igdPort is where the daemon's UPnP description is: http://router:5000/rootDesc.xml.
const igdPort = 5000

// StartIGD runs miniupnpd on the router until the test ends, or skips the test where it is not installed. It returns when
// the daemon answers.
func (r *Router) StartIGD(c IGD) {
	t := r.lab.t
	t.Helper()
	daemon, err := exec.LookPath("miniupnpd")
	if err != nil {
		t.Skip("skipped: a router's port mapping needs miniupnpd-nftables")
	}
	r.conf = c
	r.boot++
	conf := filepath.Join(r.lab.dir, fmt.Sprintf("%s-%d.conf", r.name, r.boot))
	r.lab.must(os.WriteFile(conf, []byte(r.configuration()), 0o600))
	if r.igd, err = r.Start(r.lab.dir, r.name, daemon, "-d", "-f", conf, "-P", filepath.Join(r.lab.dir, r.name+".pid")); err != nil {
		t.Fatal(err)
	}
	if r.boot == 1 {
		t.Cleanup(func() {
			r.igd.Kill()
			if t.Failed() && r.igd != nil {
				t.Logf("miniupnpd on %s:\n%s", r.name, r.igd.Said())
			}
		})
	}
	r.awaitIGD()
}

// StopIGD ends the daemon as a crash does: its mappings stay in force, and nobody answers.
func (r *Router) StopIGD() {
	r.igd.Kill()
	r.igd = nil
}

func (r *Router) awaitIGD() {
	t := r.lab.t
	t.Helper()
	for range 100 {
		err := r.Do(func() error {
			d := net.Dialer{Timeout: time.Second}
			if !r.conf.NoUPnP {
				c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(r.Inside.String(), fmt.Sprint(igdPort)))
				if err == nil {
					c.Close()
				}
				return err
			}
			c, err := d.DialContext(t.Context(), "udp", net.JoinHostPort(r.Inside.String(), "5351"))
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err = c.Write([]byte{0, 0}); err == nil {
				_, err = c.Read(make([]byte, 16))
			}
			return err
		})
		if err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("miniupnpd on %s does not answer: %s", r.name, r.igd.Said())
}

// configuration is miniupnpd's. Its uuid changes with each start: a router that has been rebooted is another one to those
// who search by it.
func (r *Router) configuration() string {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	seconds := func(d, otherwise time.Duration) int { return int(cmp.Or(d, otherwise) / time.Second) }
	lines := []string{
		"ext_ifname=" + wanSide, "listening_ip=" + lanSide, fmt.Sprintf("http_port=%d", igdPort),
		"enable_upnp=" + yes(!r.conf.NoUPnP), "enable_natpmp=" + yes(!r.conf.NoPMP), "force_igd_desc_v1=" + yes(r.conf.V1),
		fmt.Sprintf("min_lifetime=%d", seconds(r.conf.MinLease, 30*time.Second)),
		fmt.Sprintf("max_lifetime=%d", seconds(r.conf.MaxLease, 24*time.Hour)),
		"system_uptime=no", "notify_interval=30", "clean_ruleset_interval=600", "ipv6_disable=yes",
		fmt.Sprintf("friendly_name=%s of the homelab", r.name),
		fmt.Sprintf("uuid=b59e8d46-b1a4-4b70-a7bb-%04x%08x", r.boot, len(r.name)),
		"upnp_table_name=filter", "upnp_nat_table_name=filter", "upnp_forward_chain=miniupnpd",
		"upnp_nat_chain=prerouting_miniupnpd", "upnp_nat_postrouting_chain=postrouting_miniupnpd",
		"secure_mode=yes",
	}
	if !r.conf.Deny {
		lines = append(lines, fmt.Sprintf("allow 1024-65535 %s/24 1024-65535", r.Inside))
	}
	return strings.Join(append(lines, "deny 0-65535 0.0.0.0/0 0-65535"), "\n") + "\n"
}
