package homelab

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sward/internal/bench/rig"
)

// The two sides of a router.
const (
	wanSide = "wan0"
	lanSide = "lan0" // a bridge, as the four ports of a home router are
)

// Router is a home router in a namespace of its own.
type Router struct {
	*rig.Space
	Inside  netip.Addr // its address in the LAN
	Outside netip.Addr // its address towards the street

	lab  *Lab
	name string
	nat  NAT
	igd  *rig.Program
	conf IGD
	boot int // how often it has been started
}

func (l *Lab) router(name string, nat NAT, inside string) *Router {
	l.t.Helper()
	r := &Router{Space: l.space(name), Inside: netip.MustParseAddr(inside), lab: l, name: name, nat: cmp.Or(nat, PortRestricted)}
	l.must(r.IP("link", "add", lanSide, "type", "bridge"), r.IP("addr", "add", inside+"/24", "dev", lanSide),
		r.IP("link", "set", lanSide, "up"))
	r.filter()
	return r
}

// filter loads the rules of a home router. Those that drop unsolicited input from the street matter: without them Linux
// remembers such a packet as a connection, which then clashes with the one that a hole punch opens from inside. The chains
// of miniupnpd are those that it fills.
func (r *Router) filter() {
	r.lab.t.Helper()
	rules := fmt.Sprintf(`table inet filter
delete table inet filter
table inet filter {
	chain input {
		type filter hook input priority 0; policy accept;
		iifname %[1]q ct state new drop
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname %[2]q accept
		jump miniupnpd
	}
	chain miniupnpd { }
	chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
	chain postrouting {
		type nat hook postrouting priority 100; policy accept; jump postrouting_miniupnpd
		oifname %[1]q %[3]s
	}
	chain prerouting_miniupnpd { }
	chain postrouting_miniupnpd { }
}
`, wanSide, lanSide, r.nat)
	r.lab.must(r.NFT(rules))
}

// NFT loads rules into the router, for a test that has its own: one that blocks UDP, say.
func (r *Router) NFT(rules string) error {
	file := filepath.Join(r.lab.dir, r.name+".nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return err
	}
	return r.Run("nft", "-f", file)
}

// BlockUDP makes the router drop all UDP between inside and outside, as hotels do.
func (r *Router) BlockUDP() {
	r.lab.t.Helper()
	r.lab.must(r.Run("nft", "insert", "rule", "inet", "filter", "forward", "meta", "l4proto", "udp", "drop"))
}

// Mapped lists the port mappings that are in force on the router, one line each: "udp dport 4433 … dnat ip to …".
func (r *Router) Mapped() []string {
	r.lab.t.Helper()
	out, err := r.Output(context.Background(), r.lab.dir, nil, "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
	r.lab.must(err)
	var all []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "dnat") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// Reboot is a power cut of a router: its mappings, its connections and its port mapping daemon are gone at once, and come
// back, if there was a daemon, as another one would after a factory's update: with a new identity and an uptime of zero.
func (r *Router) Reboot() {
	r.lab.t.Helper()
	ran := r.igd != nil
	r.igd.Kill()
	r.igd = nil
	r.filter()
	r.lab.must(r.Do(forgetConnections))
	if ran {
		r.StartIGD(r.conf)
	}
}

// forgetConnections empties the kernel's table of connections in this namespace (nfnetlink: a deletion without a filter).
func forgetConnections() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const ctDelete = 1<<8 | 2 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
	m := make([]byte, unix.NLMSG_HDRLEN+4)
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], ctDelete)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	m[unix.NLMSG_HDRLEN] = unix.AF_INET
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 256)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.NLMSG_HDRLEN+4 {
		return fmt.Errorf("an answer of %d bytes from the table of connections", n)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); code != 0 {
		return fmt.Errorf("empty the table of connections: %w", unix.Errno(-code))
	}
	return nil
}
