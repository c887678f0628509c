package accounting

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/identity"
	"sward/internal/wire"
)

func TestARelayLearnsFromAnotherHowToGetToAnEdge(t *testing.T) {
	n := newTown(t)
	n.clock.now = time.Now() // the client checks the directory by its own clock
	addr, ctx := n.serve(), t.Context()
	relay, edge := n.client(addr, n.relay), n.client(addr, n.edge)
	home := netip.MustParseAddr("203.0.113.7")
	beat := Heartbeat{Tunnel: "relay.example:444", Reach: "relay.example:445", Homes: []Home{{Edge: n.edge.ID(), Addr: home, Port: 5000, Circuit: true}}}
	orders, err := relay.Heartbeat(ctx, beat)
	n.must(err)
	if diff := cmp.Diff([]identity.ID{n.relay.ID()}, orders.Peers); diff != "" {
		t.Errorf("relays of the network (-want +got):\n%s", diff)
	}
	d, err := edge.Directory(ctx)
	if err != nil || len(d.Relays) != 1 || d.Relays[0].Reach != "relay.example:445" {
		t.Errorf("the directory says %+v, %v", d.Relays, err)
	}
	want := Whereabouts{Addr: home, Port: 5000, Circuits: []DirectoryRelay{{ID: n.relay.ID(), Reach: "relay.example:445"}}}
	got, err := relay.Whereabouts(ctx, n.edge.ID())
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := edge.Whereabouts(ctx, n.edge.ID()); wire.CodeOf(err) != wire.AuthFailed {
		t.Errorf("one who is no relay was told: %v", err)
	}

	n.clock.now = n.clock.now.Add(homeLife)
	if _, err := relay.Whereabouts(ctx, n.edge.ID()); wire.CodeOf(err) != wire.NoEdge {
		t.Errorf("what is old is still told: %v", err)
	}
	_, err = relay.Heartbeat(ctx, beat)
	n.must(err)
	beat.Homes[0].Port, beat.Homes[0].Circuit = 0, false // its owner has switched it off
	_, err = relay.Heartbeat(ctx, beat)
	n.must(err)
	if _, err := relay.Whereabouts(ctx, n.edge.ID()); wire.CodeOf(err) != wire.NoEdge {
		t.Errorf("what was taken back is still told: %v", err)
	}
}

func TestAHeartbeatIsBounded(t *testing.T) {
	n := newTown(t)
	for name, h := range map[string]Heartbeat{
		"too many edges":        {Homes: make([]Home, MaxHomes+1)},
		"an edge without name":  {Homes: []Home{{Addr: netip.MustParseAddr("203.0.113.7"), Port: 1}}},
		"an edge without place": {Homes: []Home{{Edge: n.edge.ID(), Port: 1}}},
		"an endless address":    {Reach: string(make([]byte, maxAddress+1))},
	} {
		if _, err := n.book.Heartbeat(t.Context(), n.relay.ID(), h); wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("%s: %v, want bad_request", name, err)
		}
	}
}
