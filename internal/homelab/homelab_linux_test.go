package homelab_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"sward/internal/homelab"
)

func TestMain(m *testing.M) {
	os.Exit(homelab.Main(m, map[string]homelab.Role{"writer": writer}))
}

// writer sends one packet from one socket to each address it is told, and tells what comes in.
func writer(ctx context.Context, args []string, in <-chan string, tell func(string, ...any)) error {
	c, err := net.ListenPacket("udp4", args[0])
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			tell("got %s from %s", buf[:n], from)
		}
	}()
	tell("ready")
	for to := range in {
		a, err := net.ResolveUDPAddr("udp4", to)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo([]byte("hello"), a); err != nil {
			return err
		}
	}
	return c.Close()
}

// seen waits for a packet and returns from where it came.
func seen(t *testing.T, c net.PacketConn, patience time.Duration) netip.AddrPort {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	_, from, err := c.ReadFrom(make([]byte, 100))
	if err != nil {
		t.Fatalf("nothing came: %v", err)
	}
	return from.(*net.UDPAddr).AddrPort()
}

func TestRoutersTranslateAsTheirNamesSay(t *testing.T) {
	for nat, samePort := range map[homelab.NAT]bool{homelab.PortRestricted: true, homelab.Symmetric: false} {
		t.Run(strings.ReplaceAll(string(nat), " ", "-"), func(t *testing.T) {
			lab := homelab.New(t, homelab.Home{NAT: nat})
			house := lab.Houses[0]
			var at [3]net.PacketConn
			for n := range at {
				c, err := lab.Street.ListenPacket(fmt.Sprintf("%s:700%d", homelab.StreetAddr(n), n))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				at[n] = c
			}
			a := homelab.Start(t, house.Computer, "writer", ":4433")
			a.Await("ready", 5*time.Second)
			a.Say(at[0].LocalAddr().String())
			first := seen(t, at[0], 5*time.Second)
			a.Say(at[1].LocalAddr().String())
			second := seen(t, at[1], 5*time.Second)
			if first.Addr() != house.Outside || second.Addr() != house.Outside {
				t.Errorf("seen from %v and %v, want %v", first, second, house.Outside)
			}
			if (first.Port() == second.Port()) != samePort {
				t.Errorf("seen from %v and %v, want the same port: %v", first, second, samePort)
			}
			// A stranger's packet stays outside, an answer comes in.
			at[2].WriteTo([]byte("stranger"), net.UDPAddrFromAddrPort(first))
			at[0].WriteTo([]byte("answer"), net.UDPAddrFromAddrPort(first))
			if got := a.Await("got", 5*time.Second); !strings.HasPrefix(got, "answer") {
				t.Errorf("came in: %s", got)
			}
			a.Stop()
		})
	}
}

func TestUplinksHideTheHouse(t *testing.T) {
	for uplink, wan := range map[homelab.Uplink]string{homelab.Box: "192.168.178.20", homelab.Carrier: "100.64.11.20"} {
		lab := homelab.New(t, homelab.Home{Uplink: uplink})
		house := lab.Houses[0]
		if got := house.Router.Outside.String(); got != wan {
			t.Errorf("router's outer address is %s, want %s", got, wan)
		}
		c, err := lab.Street.ListenPacket(homelab.StreetAddr(0).String() + ":7000")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a := homelab.Start(t, house.Computer, "writer", ":4433")
		a.Await("ready", 5*time.Second)
		a.Say(c.LocalAddr().String())
		if got := seen(t, c, 5*time.Second); got.Addr() != house.Outside {
			t.Errorf("seen from %v, want %v", got, house.Outside)
		}
		a.Stop()
	}
}

func TestARebootForgetsConnections(t *testing.T) {
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	c, err := lab.Street.ListenPacket(homelab.StreetAddr(0).String() + ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := homelab.Start(t, house.Computer, "writer", ":4433")
	a.Await("ready", 5*time.Second)
	a.Say(c.LocalAddr().String())
	from := seen(t, c, 5*time.Second)
	house.Router.Reboot()
	c.WriteTo([]byte("late"), net.UDPAddrFromAddrPort(from)) // nobody knows it any more
	a.Say(c.LocalAddr().String())
	from = seen(t, c, 5*time.Second)
	c.WriteTo([]byte("answer"), net.UDPAddrFromAddrPort(from))
	if got := a.Await("got", 5*time.Second); !strings.HasPrefix(got, "answer") {
		t.Errorf("came in: %s", got)
	}
}

func TestADaemonAnswersInEachForm(t *testing.T) {
	lab := homelab.New(t, homelab.Home{})
	router := lab.Houses[0].Router
	for _, c := range []homelab.IGD{{}, {V1: true, NoPMP: true}, {NoUPnP: true}} {
		router.StartIGD(c) // fails the test by itself when nobody answers
		if got := router.Mapped(); len(got) != 0 {
			t.Errorf("%+v: mapped at its start: %v", c, got)
		}
		router.StopIGD()
	}
}
