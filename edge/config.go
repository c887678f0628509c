package edge

import (
	"errors"
	"fmt"
	"net"

	"sward/internal/identity"
)

// Bounds of what an owner can set.
const (
	maxStreams     = 1024 // connections at once: what a home router's NAT table bears
	maxFixedRelays = 16
)

// FileConfig is the home agent's config file. The file is read strictly: an unknown key stops the start with its name.
type FileConfig struct {
	Network string `yaml:"network"` // which network to join
	Hub     Hub    `yaml:"hub"`     // whose directory names the relays, and whose grants are served

	// Relays is a fixed list that replaces the hub's directory. For small networks of one's own.
	Relays []Relay `yaml:"relays,omitempty"`

	Settings `yaml:",inline"`

	Listen    string `yaml:"listen"`    // UDP address of the tunnels, ":0" for any port
	Dashboard string `yaml:"dashboard"` // loopback address of the dashboard, empty for none
	Abuse     string `yaml:"abuse"`     // where to report misuse, shown in the consent text
}

// Hub is where the hub answers and who it is.
type Hub struct {
	Addr string      `yaml:"addr"` // host:port
	ID   identity.ID `yaml:"id"`
}

// Relay is where a relay is and who it is. The identity is checked in the handshake.
type Relay struct {
	ID   identity.ID `yaml:"id"`
	Addr string      `yaml:"addr"` // host:port (UDP)

	Reach string `yaml:"reach,omitempty"` // host:port of its libp2p host (UDP and TCP), if it has one
}

// DefaultFileConfig is what init writes: modest caps that a flat-rate line does not feel.
func DefaultFileConfig() FileConfig {
	return FileConfig{
		Network:   "main",
		Settings:  DefaultSettings(),
		Listen:    ":0",
		Dashboard: "127.0.0.1:7411",
		Abuse:     "abuse@sward.example",
	}
}

// Validate checks everything that can be checked without the network. The error names the key.
func (c FileConfig) Validate() error {
	if err := identity.CheckNetwork(c.Network); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if c.Hub.ID.IsZero() {
		return errors.New("hub.id: the hub's identity is missing; it is shown where you got your invitation")
	}
	if err := checkAddr(c.Hub.Addr); err != nil && len(c.Relays) == 0 {
		return fmt.Errorf("hub.addr: %w", err)
	}
	if len(c.Relays) > maxFixedRelays {
		return fmt.Errorf("relays: %d entries, at most %d", len(c.Relays), maxFixedRelays)
	}
	for i, r := range c.Relays {
		if r.ID.IsZero() {
			return fmt.Errorf("relays[%d].id: missing", i)
		}
		if err := checkAddr(r.Addr); err != nil {
			return fmt.Errorf("relays[%d].addr: %w", i, err)
		}
	}
	if err := c.Settings.Validate(); err != nil {
		return err
	}
	if c.Dashboard != "" {
		if err := checkLoopback(c.Dashboard); err != nil {
			return fmt.Errorf("dashboard: %w", err)
		}
	}
	return nil
}

func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("%.80q is not host:port", addr)
	}
	return nil
}

// checkLoopback refuses to show the dashboard to anybody but this machine: whoever reaches it controls the edge.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%.80q is not host:port", addr)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%.80q is not a loopback address such as 127.0.0.1:7411", addr)
	}
	return nil
}
