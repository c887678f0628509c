package sense

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSysfs bounds what is read of a file of sysfs; the longest here has some 20 bytes.
const maxSysfs = 4096

// machine asks Linux: sysfs, netlink and, where it runs, NetworkManager.
type machine struct {
	root    string // of /sys and /proc
	manager *networkManager
}

func newMachine() *machine {
	return &machine{root: "/", manager: &networkManager{address: systemBus}}
}

func (m *machine) close() { m.manager.close() }

func (m *machine) metered() Fact { return m.manager.metered() }

// battery reads the kernel's power supplies (Documentation/ABI/testing/sysfs-class-power). Those of devices such as a mouse
// do not count.
func (m *machine) battery() Fact {
	paths, _ := filepath.Glob(filepath.Join(m.root, "sys/class/power_supply/*")) // the pattern is good
	batteries, discharging, mains, plugged := 0, 0, 0, false
	for _, path := range paths {
		read := func(name string) string { return readLine(filepath.Join(path, name)) }
		if read("scope") == "Device" {
			continue
		}
		switch read("type") {
		case "Battery", "UPS":
			if read("present") == "0" {
				continue
			}
			batteries++
			if read("status") == "Discharging" {
				discharging++
			}
		case "Mains", "USB", "Wireless":
			mains++
			plugged = plugged || read("online") == "1"
		}
	}
	switch {
	case batteries == 0:
		return Fact{Battery, No, "This machine has no battery."}
	case plugged, discharging == 0 && mains == 0:
		return Fact{Battery, No, "This machine is plugged in."}
	case discharging > 0, mains > 0:
		return Fact{Battery, Yes, "This machine runs on its battery."}
	}
	return Fact{Battery, Unknown, "The system does not tell whether this machine is plugged in."}
}

func readLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxSysfs)
	n, err := f.Read(b)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b[:n]))
}

// tunnels are kinds of links (ip-link(8), "TYPES") through which traffic leaves from another network than the line's.
var tunnels = map[string]string{
	"wireguard": "a WireGuard tunnel", "tun": "a tunnel of a program", "ovpn": "an OpenVPN tunnel", "xfrm": "an IPsec tunnel",
	"vti": "an IPsec tunnel", "vti6": "an IPsec tunnel", "gre": "a GRE tunnel", "ip6gre": "a GRE tunnel", "ipip": "an IP tunnel",
	"ip6tnl": "an IP tunnel", "sit": "a tunnel for IPv6", "l2tp": "an L2TP tunnel", "amneziawg": "a WireGuard tunnel",
}

// phones are drivers of a telephone's USB tethering, and of modems.
var phones = map[string]string{
	"ipheth": "a tethered iPhone", "rndis_host": "a tethered phone", "qmi_wwan": "a mobile modem", "cdc_mbim": "a mobile modem",
	"huawei_cdc_ncm": "a mobile modem", "sierra_net": "a mobile modem",
}

// link asks netlink for the kind and the counters of an interface: of this network namespace, as sysfs may not be.
func (m *machine) link(i net.Interface) (link, error) {
	l := link{name: i.Name}
	kind, err := l.ask(i.Index)
	if err != nil {
		return l, err
	}
	l.tunnel = tunnels[kind]
	if kind == "ppp" || kind == "" && strings.HasPrefix(i.Name, "ppp") {
		if !m.pppoe() {
			l.unsure = "which may be a home line, a modem or a VPN"
		}
	}
	device := filepath.Join(m.root, "sys/class/net", filepath.Base(i.Name))
	if driver, err := os.Readlink(filepath.Join(device, "device/driver")); err == nil {
		l.phone = phones[filepath.Base(driver)]
	}
	if l.phone == "" && strings.Contains(readLine(filepath.Join(device, "uevent")), "DEVTYPE=wwan") {
		l.phone = "a mobile modem"
	}
	return l, nil
}

// ask fills in the counters.
func (l *link) ask(index int) (kind string, err error) {
	dump, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return "", fmt.Errorf("ask netlink: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return "", fmt.Errorf("ask netlink: %w", err)
	}
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg || int32(binary.NativeEndian.Uint32(m.Data[4:])) != int32(index) {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return "", fmt.Errorf("ask netlink: %w", err)
		}
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.IFLA_LINKINFO:
				kind = infoKind(a.Value)
			case unix.IFLA_STATS64: // packets received and sent, then bytes received and sent
				if len(a.Value) >= 32 {
					l.rx, l.tx = binary.NativeEndian.Uint64(a.Value[16:]), binary.NativeEndian.Uint64(a.Value[24:])
				}
			}
		}
		return kind, nil
	}
	return "", errors.New("the interface has gone")
}

// infoKind finds IFLA_INFO_KIND among nested attributes.
func infoKind(b []byte) string {
	for len(b) >= unix.SizeofRtAttr {
		n, t := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.SizeofRtAttr || n > len(b) {
			return ""
		}
		if t == unix.IFLA_INFO_KIND {
			return strings.TrimRight(string(b[unix.SizeofRtAttr:n]), "\x00")
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return ""
}

// pppoe tells whether the kernel has a PPPoE session: then a ppp interface is the home line itself.
func (m *machine) pppoe() bool {
	f, err := os.Open(filepath.Join(m.root, "proc/net/pppoe"))
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // a row of names; then the sessions
	return lines.Scan()
}
