package portmap

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	// announceGroup is where a router announces that it has restarted, in NAT-PMP and PCP (RFC 6886 §3.2.1, RFC 6887 §14.1):
	// all hosts of the network.
	announceGroup = "224.0.0.1:5350"
	// wakeGap separates two wake-ups by announcements: anybody at home can send them.
	wakeGap = 5 * time.Second
)

// watch hears the announcements of routers, so that a mapping that a restart has lost is made again within seconds.
type watch struct {
	wake func()

	mu      sync.Mutex
	router  netip.Addr // whom to hear: the one with the mapping, else the gateway
	uuid    string     // of the one with the mapping, by UPnP
	mapped  bool
	heard   map[string]bool // devices that have announced themselves while nobody has the mapping
	woken   time.Time
	pending bool // a wake-up came within wakeGap of the last: it is late, not lost
}

func newWatch(wake func()) *watch { return &watch{wake: wake, heard: map[string]bool{}} }

// follow says who has the mapping now; g is nil when nobody has.
func (w *watch) follow(g gateway, way netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.router, w.uuid, w.mapped = way, "", g != nil
	if g != nil {
		w.router = g.addr()
	}
	if r, ok := g.(*igd); ok {
		w.uuid = r.uuid
	}
}

// run listens until ctx ends. Where a group cannot be joined, a restart is noticed at the next look (checkEvery).
func (w *watch) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { listen(ctx, ssdpGroup, w.notified) })
	both.Go(func() { listen(ctx, announceGroup, w.announced) })
	both.Wait()
}

// listen hears what is sent to a group, on every interface. The port is shared with other programs of this machine: Go
// sets that for the address of a group.
func listen(ctx context.Context, group string, hear func(message []byte, from netip.Addr)) {
	at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(group))
	pc, err := new(net.ListenConfig).ListenPacket(ctx, "udp4", group)
	if err != nil {
		return
	}
	defer pc.Close()
	stop := context.AfterFunc(ctx, func() { pc.SetDeadline(time.Now()) }) //nolint:errcheck // fails on a closed socket, as the read will
	defer stop()
	interfaces, err := searchable()
	if err != nil {
		return
	}
	c := ipv4.NewPacketConn(pc)
	for _, in := range interfaces {
		c.JoinGroup(&in.Interface, &net.UDPAddr{IP: at.IP}) //nolint:errcheck // one interface more or less
	}
	buf := make([]byte, maxSSDP)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		hear(buf[:n], from.(*net.UDPAddr).AddrPort().Addr().Unmap())
	}
}

// notified takes a device's "I am here" or "I leave", which it repeats every half minute. News is that the router with the
// mapping leaves, or calls itself otherwise, as some do after a restart; and, while nobody has the mapping, a new device.
func (w *watch) notified(message []byte, from netip.Addr) {
	if !bytes.HasPrefix(message, []byte("NOTIFY ")) {
		return // others' searches come here, too
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(message)))
	if err != nil || !strings.Contains(req.Header.Get("NT"), ":InternetGatewayDevice:") {
		return
	}
	uuid, _, _ := strings.Cut(req.Header.Get("USN"), "::")
	if w.news(uuid, from, req.Header.Get("NTS") == "ssdp:byebye") {
		w.rouse()
	}
}

func (w *watch) news(uuid string, from netip.Addr, leaves bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mapped {
		return from == w.router && w.uuid != "" && (uuid == w.uuid) == leaves
	}
	if leaves {
		delete(w.heard, uuid)
		return false
	}
	if w.heard[uuid] || len(w.heard) >= maxRouters {
		return false
	}
	w.heard[uuid] = true
	return true
}

// announced takes a router's word that it has restarted, or has another address. It is said for no other reason, so that it
// is news whatever the clock in it says: that of a router which has restarted twice within seconds looks as before.
func (w *watch) announced(message []byte, from netip.Addr) {
	pmp, isPMP := parsePMP(message)
	pcp, isPCP := parsePCP(message)
	if !(isPMP && pmp.op == pmpAddress || isPCP && pcp.op == pcpAnnounce) {
		return
	}
	w.mu.Lock()
	heard := from == w.router
	w.mu.Unlock()
	if heard {
		w.rouse()
	}
}

// rouse wakes the mapper, now or when wakeGap is over.
func (w *watch) rouse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending {
		return
	}
	wait := wakeGap - time.Since(w.woken)
	if wait <= 0 {
		w.woken = time.Now()
		w.wake()
		return
	}
	w.pending = true
	time.AfterFunc(wait, func() {
		w.mu.Lock()
		w.pending, w.woken = false, time.Now()
		w.mu.Unlock()
		w.wake()
	})
}
