package reach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"sward/internal/homelab"
	"sward/internal/identity"
	"sward/policy"
)

func TestMain(m *testing.M) {
	os.Exit(homelab.Main(m, map[string]homelab.Role{"relay": relayRole, "edge": edgeRole, "caller": callerRole}))
}

// The street's relay, and what everybody on it knows.
const (
	streetPort = "7445"
	homePort   = "7446"
	spoken     = 256 << 10 // bytes, there and back
)

func roleKey(b byte) (identity.Key, error) {
	return identity.NewKeyFrom(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
}

// roleHost is a host with the gate that shipped programs have: the street's addresses look public.
func roleHost(key byte, listen string, relay bool) (*Host, error) {
	k, err := roleKey(key)
	if err != nil {
		return nil, err
	}
	anybody := func(identity.ID) error { return nil }
	return Open(Config{
		Key: k, Listen: listen, Relay: relay, Allow: anybody, Reserve: anybody, Callers: anybody, Gate: policy.Gate{}.Check,
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") },
	})
}

func streetRelay(args []string) (Relay, error) {
	k, err := roleKey('r')
	return Relay{k.ID(), args[0] + ":" + streetPort}, err
}

func relayRole(ctx context.Context, args []string, _ <-chan string, tell func(string, ...any)) error {
	h, err := roleHost('r', args[0]+":"+streetPort, true)
	if err != nil {
		return err
	}
	defer h.Close()
	tell("ready")
	<-ctx.Done()
	return nil
}

// edgeRole has a place at the relay, and says back what it hears.
func edgeRole(ctx context.Context, args []string, _ <-chan string, tell func(string, ...any)) error {
	relay, err := streetRelay(args)
	if err != nil {
		return err
	}
	h, err := roleHost('e', "0.0.0.0:"+homePort, false)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Reserve(ctx, relay); err != nil {
		return err
	}
	tell("ready")
	for {
		c, err := h.Accept(ctx)
		if err != nil {
			return nil //nolint:nilerr // the test is over
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// callerRole is a relay that calls: each line it is told is an attempt, and it tells by which path it came.
func callerRole(ctx context.Context, args []string, in <-chan string, tell func(string, ...any)) error {
	relay, err := streetRelay(args)
	if err != nil {
		return err
	}
	edge, err := roleKey('e')
	if err != nil {
		return err
	}
	h, err := roleHost('c', "0.0.0.0:"+homePort, true)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Reserve(ctx, relay); err != nil { // so that the relay tells where it sees this home
		return err
	}
	tell("ready")
	for range in {
		path, err := callOnce(ctx, h, Place{Edge: edge.ID(), Addr: netip.MustParseAddr(args[1]), Circuits: []Relay{relay}})
		if err != nil {
			return err
		}
		tell("came %s", path)
	}
	return nil
}

func callOnce(ctx context.Context, h *Host, p Place) (Path, error) {
	c, err := h.Call(ctx, p)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	said := bytes.Repeat([]byte("sward"), spoken/5)
	go func() {
		c.Write(said)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, said) {
		return 0, fmt.Errorf("said %d bytes and heard %d: %w", len(said), len(got), err)
	}
	return c.Path(), nil
}

// Between two homes of the usual kind both ends punch a hole; where one router gives each connection another port, the
// stream stays on the circuit. The bytes come either way.
func TestCallBetweenHomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edge homelab.NAT
		want Path
	}{"both port-restricted": {homelab.PortRestricted, Punched}, "the edge's symmetric": {homelab.Symmetric, Circuit}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := homelab.New(t, homelab.Home{NAT: c.edge}, homelab.Home{})
			at := homelab.StreetAddr(0).String()
			homelab.Start(t, lab.Street, "relay", at).Await("ready", patience)
			homelab.Start(t, lab.Houses[0].Computer, "edge", at).Await("ready", patience)
			caller := homelab.Start(t, lab.Houses[1].Computer, "caller", at, lab.Houses[0].Outside.String())
			caller.Await("ready", patience)
			time.Sleep(time.Second) // for both to have heard from the relay where they are
			var got string
			for range 2 { // a hole may take longer than a partner waits, and serves the next one
				caller.Say("call")
				if got = strings.TrimSpace(caller.Await("came", patience)); got == Punched.String() {
					break
				}
			}
			if got != c.want.String() {
				t.Errorf("came %s, want %s", got, c.want)
			}
		})
	}
}
