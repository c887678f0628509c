package sense

import (
	"context"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	systemBus = "unix:path=/run/dbus/system_bus_socket"

	busWait    = time.Second // for an answer on this machine
	busRetry   = time.Minute // between tries to reach a bus that is not there
	busSignals = 16          // waiting to be read; each says no more than "look again"

	managerName = "org.freedesktop.NetworkManager"
	managerPath = "/org/freedesktop/NetworkManager"
)

// networkManager asks NetworkManager, over D-Bus, whether the connection is metered. It keeps its connection and is told
// of changes, so that a look wakes nobody.
type networkManager struct {
	address string

	mu    sync.Mutex
	conn  *dbus.Conn
	tried time.Time
	last  Fact
	fresh bool // nothing has changed since last
}

var noManager = Fact{Metered, Unknown, "This system does not tell whether the connection is billed by volume (NetworkManager does not run)."}

// metered is NetworkManager's word.
func (n *networkManager) metered() Fact {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil && time.Since(n.tried) >= busRetry {
		n.tried = time.Now()
		n.connectLocked()
	}
	if n.conn == nil {
		return noManager
	}
	if !n.fresh {
		n.fresh = true
		n.last = n.askLocked()
	}
	return n.last
}

func (n *networkManager) connectLocked() {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	conn, err := dbus.Dial(n.address)
	if err != nil {
		return // no bus: the answer is noManager
	}
	hung := time.AfterFunc(busWait, func() { conn.Close() })
	defer hung.Stop()
	err = conn.Auth(nil)
	if err == nil {
		err = conn.Hello()
	}
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchObjectPath(managerPath), dbus.WithMatchInterface("org.freedesktop.DBus.Properties")},
		{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, managerName)},
	} {
		if err == nil {
			err = conn.AddMatchSignalContext(ctx, match...)
		}
	}
	if err != nil {
		conn.Close()
		return
	}
	signals := make(chan *dbus.Signal, busSignals)
	conn.Signal(signals)
	n.conn, n.fresh = conn, false
	go n.follow(conn, signals) // ends with conn, which close closes
}

// follow makes the next look ask again whenever something has changed.
func (n *networkManager) follow(conn *dbus.Conn, signals <-chan *dbus.Signal) {
	for range signals {
		n.mu.Lock()
		n.fresh = false
		n.mu.Unlock()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == conn { // the bus has gone
		n.conn = nil
	}
}

// askLocked reads the property; the values are those of NMMetered in NetworkManager's API.
func (n *networkManager) askLocked() Fact {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	var v dbus.Variant
	get := n.conn.Object(managerName, managerPath).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, managerName, "Metered")
	if err := get.Store(&v); err != nil {
		return noManager
	}
	switch metered, _ := v.Value().(uint32); metered {
	case 1:
		return Fact{Metered, Yes, "NetworkManager says that the connection is metered."}
	case 3:
		return Fact{Metered, Yes, "NetworkManager takes the connection for metered: it looks like a phone's."}
	case 2, 4:
		return Fact{Metered, No, "NetworkManager says that the connection is not metered."}
	}
	return Fact{Metered, Unknown, "NetworkManager does not know whether the connection is metered."}
}

func (n *networkManager) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
}
