package sense

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	powerEvery = 8 * time.Second // between questions: each starts a program
	powerWait  = 2 * time.Second
)

// machine asks macOS, without its Objective-C frameworks.
type machine struct {
	power Fact
	asked time.Time
	none  bool // no battery: that does not change
}

func newMachine() *machine { return &machine{} }

func (m *machine) close() {}

// battery asks pmset, which is part of macOS.
func (m *machine) battery() Fact {
	if m.none || time.Since(m.asked) < powerEvery {
		return m.power
	}
	m.asked = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), powerWait)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/pmset", "-g", "batt").Output()
	switch {
	case err != nil:
		m.power = Fact{Battery, Unknown, "macOS does not tell whether this machine is plugged in."}
	case bytes.Contains(out, []byte("'Battery Power'")), bytes.Contains(out, []byte("'UPS Power'")):
		m.power = Fact{Battery, Yes, "This machine runs on its battery."}
	case !bytes.Contains(out, []byte("-InternalBattery")):
		m.none, m.power = true, Fact{Battery, No, "This machine has no battery."}
	default:
		m.power = Fact{Battery, No, "This machine is plugged in."}
	}
	return m.power
}

func (m *machine) metered() Fact {
	return Fact{Metered, Unknown, "macOS does not tell whether the connection is billed by volume; only the hotspot of an iPhone is known by its address."}
}

// link reads if_data of the routing table (net/if_var.h). Its counters have 32 bits.
func (m *machine) link(i net.Interface) (link, error) {
	l := link{name: i.Name}
	for prefix, what := range map[string]string{"utun": "a tunnel", "ipsec": "an IPsec tunnel", "tun": "a tunnel", "tap": "a tunnel", "gif": "a tunnel", "stf": "a tunnel for IPv6"} {
		if strings.HasPrefix(i.Name, prefix) {
			l.tunnel = what
		}
	}
	if strings.HasPrefix(i.Name, "ppp") {
		l.unsure = "which may be a dial-up line or a VPN"
	}
	table, err := syscall.RouteRIB(syscall.NET_RT_IFLIST, i.Index)
	if err != nil {
		return l, fmt.Errorf("ask for the interface: %w", err)
	}
	if len(table) < int(unsafe.Sizeof(syscall.IfMsghdr{})) {
		return l, errors.New("the interface has gone")
	}
	header := (*syscall.IfMsghdr)(unsafe.Pointer(&table[0]))
	if header.Type != syscall.RTM_IFINFO {
		return l, errors.New("the interface has gone")
	}
	l.rx, l.tx = uint64(header.Data.Ibytes), uint64(header.Data.Obytes)
	return l, nil
}
