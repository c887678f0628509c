package sense

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Addresses of a root server. They are never sent anything: they stand for "the Internet" when the system is asked which
// way it would send.
const (
	probe4 = "198.41.0.4:9"
	probe6 = "[2001:503:ba3e::2:30]:9"
)

// link is an interface as the system describes it.
type link struct {
	name   string
	tunnel string // what kind of tunnel it is, for a sentence; empty: none
	unsure string // why that cannot be told; empty: it can
	phone  string // what makes it a phone's connection, for a sentence; empty: nothing known
	rx, tx uint64 // bytes since some time
}

// way is the interface through which the Internet is reached, and the address that traffic leaves with.
type way struct {
	index int
	addr  netip.Prefix
	link  link
	err   error // the link could not be read
}

// wayOut asks the system which interface it would use, rules and marks of VPN programs included: connecting a UDP socket
// looks the route up and sends nothing. No way gives nil.
func wayOut(m *machine, network, probe string) *way {
	var d net.Dialer
	conn, err := d.DialContext(context.Background(), network, probe)
	if err != nil {
		return nil
	}
	defer conn.Close()
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	interfaces, err := net.Interfaces()
	if err != nil {
		return &way{err: err}
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == local {
				w := &way{index: i.Index, addr: p}
				w.link, w.err = m.link(i)
				return w
			}
		}
	}
	return &way{err: fmt.Errorf("no interface has the address %s", local)}
}

// vpn tells whether traffic would leave through somebody else's network.
func vpn(ways ...*way) Fact {
	f := Fact{Name: VPN, State: Unknown, Text: "There is no way to the Internet now."}
	for _, w := range ways {
		switch {
		case w == nil:
		case w.err != nil:
			f.State, f.Text = Unknown, "The way to the Internet cannot be told: "+w.err.Error()+"."
		case w.link.tunnel != "":
			return Fact{VPN, Yes, "The Internet is reached through " + w.link.name + ", " + w.link.tunnel + ": traffic would leave from somebody else's address."}
		case w.link.unsure != "":
			f.State, f.Text = Unknown, "The Internet is reached through "+w.link.name+", "+w.link.unsure+"."
		case f.State == Unknown:
			f.State, f.Text = No, "The Internet is reached directly, through "+w.link.name+"."
		}
	}
	return f
}

// iPhoneHotspot is the network of every iPhone's personal hotspot; it is used for nothing else.
var iPhoneHotspot = netip.MustParsePrefix("172.20.10.0/28")

// metered tells whether the connection is billed by volume: the system's word first, then signs that leave no doubt.
func (s *Sensor) metered(ways ...*way) Fact {
	for _, w := range ways {
		if w == nil || w.err != nil {
			continue
		}
		phone := w.link.phone
		if w.addr.Masked() == iPhoneHotspot {
			phone = "the hotspot of an iPhone"
		}
		if phone != "" {
			return Fact{Metered, Yes, "The connection is " + phone + ", which is billed by volume."}
		}
	}
	return s.machine.metered()
}

const (
	// foreignRate is what other programs move before the line counts as busy: a video in high resolution takes 0.6 to 1 MB
	// a second.
	foreignRate = 1e6 // bytes per second, in one direction

	// ownShare is what one byte of payload takes on the wire with the headers of TCP, TLS, QUIC and IP, and repeats on a
	// lossy line. Each payload byte crosses the interface in both directions: in from one side, out to the other.
	ownShare = 1.15
)

// line is a reading of the interface's counters.
type line struct {
	at      time.Time
	index   int
	rx, tx  uint64
	carried int64
}

// busyLocked compares what the interface moved with what this edge did.
func (s *Sensor) busyLocked(ways ...*way) Fact {
	f := Fact{Name: Busy, State: Unknown, Text: "The line's counters cannot be read."}
	i := slices.IndexFunc(ways, func(w *way) bool { return w != nil && w.err == nil })
	before := s.line
	if i < 0 {
		s.line = line{}
		return f
	}
	up, down := s.cfg.Carried()
	l := ways[i].link
	s.line = line{s.now(), ways[i].index, l.rx, l.tx, up + down}
	took := s.line.at.Sub(before.at).Seconds()
	if before.index != s.line.index || l.rx < before.rx || l.tx < before.tx || took <= 0 {
		f.Text = "The line is being measured."
		return f
	}
	own := float64(s.line.carried-before.carried) * ownShare
	foreign := (max(float64(l.rx-before.rx), float64(l.tx-before.tx)) - own) / took
	if foreign < foreignRate {
		return Fact{Busy, No, "Other programs on this machine use little of the line."}
	}
	return Fact{Busy, Yes, fmt.Sprintf("Other programs on this machine move %.0f Mbit/s.", foreign*8/1e6)}
}
