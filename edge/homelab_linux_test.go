package edge

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sward/internal/homelab"
	"sward/internal/identity"
	"sward/internal/portmap"
)

func TestMain(m *testing.M) {
	os.Exit(homelab.Main(m, map[string]homelab.Role{"edge": edgeRole}))
}

// edgeRole is an edge on a home's computer. It follows the owner, who says "agree" to the terms and "on" or "off" to the port
// mapping, and tells each change of the mapping.
func edgeRole(ctx context.Context, args []string, in <-chan string, tell func(string, ...any)) error {
	pc, err := net.ListenPacket("udp", ":4433")
	if err != nil {
		return err
	}
	defer pc.Close()
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	settings := DefaultSettings()
	settings.Reach = true
	e, err := New(Config{
		Key: key, Network: testNetwork, Hub: &testHub{}, HubID: key.ID(), Settings: settings, Dir: args[0], PacketConn: pc,
	})
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	<-e.Opened()
	var last portmap.State
	for {
		if now := e.Status(ctx).Mapping; now != last {
			last = now
			text, err := json.Marshal(now)
			if err != nil {
				return err
			}
			tell("mapping %s", text)
		}
		select {
		case line, ok := <-in:
			if !ok {
				return <-ran
			}
			if line == "agree" {
				if err := Agree(args[0], time.Now()); err != nil {
					return err
				}
				continue
			}
			s := e.Settings()
			s.PortMapping = line == "on"
			if err := e.Change(s); err != nil {
				return err
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// The owner opens and closes the ports, of the tunnels and of those who call, on the real router while the edge runs, and its end closes it.
func TestPortMappingIsSwitchedWhileTheEdgeRuns(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	house.Router.StartIGD(homelab.IGD{})
	a := homelab.Start(t, house.Computer, "edge", t.TempDir())
	await := func(open bool) {
		t.Helper()
		for began := time.Now(); time.Since(began) < 20*time.Second; {
			var s portmap.State
			if err := json.Unmarshal([]byte(a.Await("mapping", 20*time.Second)), &s); err != nil {
				t.Fatal(err)
			}
			if s.Open == open && s.On == open {
				return
			}
		}
		t.Fatalf("waited in vain for open %v", open)
	}
	awaitPorts := func(want int) (got []string) {
		t.Helper()
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
			if got = house.Router.Mapped(); len(got) == want {
				return got
			}
		}
		t.Fatalf("waited in vain for %d ports, the router has %q", want, got)
		return nil
	}
	a.Say("on")
	time.Sleep(500 * time.Millisecond) // a mapping takes 10 ms by PCP
	if got := house.Router.Mapped(); len(got) != 0 {
		t.Errorf("before consent the router has %q", got)
	}
	a.Say("agree")
	await(true)
	if got := awaitPorts(2); !strings.Contains(strings.Join(got, "\n"), "4433") {
		t.Errorf("the router has %q", got)
	}
	a.Say("off")
	await(false)
	awaitPorts(0)
	a.Say("on")
	await(true)
	awaitPorts(2)
	a.Stop()
	if got := house.Router.Mapped(); len(got) != 0 {
		t.Errorf("left on the router: %q", got)
	}
}
