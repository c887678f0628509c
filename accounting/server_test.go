package accounting

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/identity"
	"sward/internal/wire"
)

// serve puts the town's book on a loopback port, behind mutual TLS as a hub does.
func (n *town) serve(operators ...identity.ID) (addr string) {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	n.must(err)
	server := &http.Server{Handler: n.book.Handler(operators...)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(tls.NewListener(l, n.cfg.Key.TLSConfig(nil))) }()
	n.t.Cleanup(func() {
		server.Close()
		<-done
	})
	return l.Addr().String()
}

func (n *town) client(addr string, key identity.Key) *Client {
	c := &Client{Addr: addr, Network: n.cfg.Network, Hub: n.cfg.Key.ID(), Key: key}
	n.t.Cleanup(c.Close)
	return c
}

// A day of the network through the client: what an operator, a relay and an edge say to the hub.
func TestClientsReachTheBook(t *testing.T) {
	n := newTown(t)
	n.clock.now = time.Now() // the client checks the directory by its own clock
	addr, ctx := n.serve(), t.Context()
	operator, relay, edge := n.client(addr, n.cfg.Key), n.client(addr, n.relay), n.client(addr, n.edge)

	key, err := operator.AddPartner(ctx, "globex", 2)
	n.must(err)
	n.must(operator.Credit(ctx, "globex", gib))
	invite, err := operator.Invite(ctx)
	n.must(err)
	n.must(edge.Consent(ctx, strings.ToLower(invite.Code), Hash{3}))

	if _, err := relay.Heartbeat(ctx, Heartbeat{Agent: "sward/1", Edges: 1, Tunnel: "relay.example:444", Region: "eu"}); err != nil {
		t.Fatal(err)
	}
	d, err := edge.Directory(ctx)
	n.must(err)
	if diff := cmp.Diff([]DirectoryRelay{{ID: n.relay.ID(), Tunnel: "relay.example:444", Region: "eu"}}, d.Relays); diff != "" {
		t.Errorf("relays of the directory (-want +got):\n%s", diff)
	}

	g, err := relay.Authorise(ctx, "globex", key, gib/4)
	n.must(err)
	if g, err = relay.Renew(ctx, g.ID, gib/4); err != nil || g.Limit != gib/2 || g.Purpose != 2 {
		t.Errorf("Renew = limit %d, purpose %d, %v; want %d, 2, nil", g.Limit, g.Purpose, err, uint64(gib/2))
	}
	s := n.session(n.edge)
	receipts := []SignedReceipt{s.receipt(Tally{Grant: g.ID, Down: gib / 8, Streams: 1}), s.receipt(Tally{Grant: g.ID, Down: gib / 4, Streams: 2})}
	want := []Settled{{s.id, 2, ""}}
	for _, c := range []*Client{edge, relay, edge} {
		settled, err := c.Settle(ctx, []SignedChannel{s.channel}, receipts)
		if diff := cmp.Diff(want, settled); err != nil || diff != "" {
			t.Errorf("Settle: %v (-want +got):\n%s", err, diff)
		}
	}
	account, err := edge.Account(ctx)
	n.must(err)
	if account.Points != 175_000 || account.Bytes != gib/4 || !account.Registered || len(account.Days) != 1 {
		t.Errorf("Account = %+v, want 175000 for %d bytes on one day, registered", account, uint64(gib/4))
	}
	history, err := relay.History(ctx, n.edge.ID())
	if want := (History{Bytes: gib / 4}); err != nil || history != want {
		t.Errorf("History = %+v, %v; want %+v", history, err, want)
	}
	released, err := relay.Release(ctx, g.ID, []Final{{s.id, 2}})
	if want := (Released{Closed: true, Returned: 250_000}); err != nil || released != want {
		t.Errorf("Release = %+v, %v; want %+v", released, err, want)
	}
	usage, err := operator.Usage(ctx, "globex")
	n.must(err)
	if usage.Down != gib/4 || usage.Charged != 250_000 || usage.Balance != 750_000 || usage.Bytes != gib*3/4 || usage.Reserved != 0 {
		t.Errorf("Usage = %+v", usage)
	}
	n.must(operator.Suspend(ctx, n.edge.ID(), "caught"))
	orders, err := relay.Heartbeat(ctx, Heartbeat{})
	if diff := cmp.Diff([]identity.ID{n.edge.ID()}, orders.Suspended); err != nil || diff != "" {
		t.Errorf("suspended edges: %v (-want +got):\n%s", err, diff)
	}
	sum, err := operator.Summary(ctx)
	n.must(err)
	if sum.Deposited != 2_000_000 || sum.Available+sum.Reserved+sum.Edges+sum.Relays+sum.Fees != sum.Deposited || len(sum.Relay) != 1 || sum.Relay[0].Region != "eu" {
		t.Errorf("Summary = %+v", sum)
	}
	n.conserved()
}

// Each call belongs to a role, and is refused to every other.
func TestCallsBelongToRoles(t *testing.T) {
	n := newTown(t)
	operatorKey := n.newKey()
	addr := n.serve(operatorKey.ID())
	ctx := t.Context()
	suspended := n.newKey()
	n.must(n.book.AdmitRelay(ctx, RelayInfo{ID: suspended.ID()}))
	n.must(n.book.Suspend(ctx, suspended.ID(), "caught"))
	hub, operator, relay, edge, barred := n.client(addr, n.cfg.Key), n.client(addr, operatorKey), n.client(addr, n.relay), n.client(addr, n.edge), n.client(addr, suspended)
	for _, c := range []struct {
		name string
		call func(*Client) error
		may  []*Client
	}{
		{"authorise", func(c *Client) error { _, err := c.Authorise(ctx, n.owner, n.key, minGrant); return err }, []*Client{relay}},
		{"history", func(c *Client) error { _, err := c.History(ctx, n.edge.ID()); return err }, []*Client{relay}},
		{"heartbeat", func(c *Client) error { _, err := c.Heartbeat(ctx, Heartbeat{}); return err }, []*Client{relay}},
		{"account", func(c *Client) error { _, err := c.Account(ctx); return err }, []*Client{hub, operator, relay, edge, barred}},
		{"partner", func(c *Client) error { _, err := c.AddPartner(ctx, "p-"+c.Key.ID().Short(), 1); return err }, []*Client{hub, operator}},
		{"credit", func(c *Client) error { return c.Credit(ctx, n.owner, gib) }, []*Client{hub, operator}},
		{"usage", func(c *Client) error { _, err := c.Usage(ctx, n.owner); return err }, []*Client{hub, operator}},
		{"invite", func(c *Client) error { _, err := c.Invite(ctx); return err }, []*Client{hub, operator}},
		{"relay", func(c *Client) error { return c.AdmitRelay(ctx, RelayInfo{ID: n.relay.ID()}) }, []*Client{hub, operator}},
		{"suspend", func(c *Client) error { return c.Suspend(ctx, n.edge.ID(), "") }, []*Client{hub, operator}},
		{"summary", func(c *Client) error { _, err := c.Summary(ctx); return err }, []*Client{hub, operator}},
	} {
		for name, client := range map[string]*Client{"hub": hub, "operator": operator, "relay": relay, "edge": edge, "suspended relay": barred} {
			want := wire.AuthFailed
			for _, allowed := range c.may {
				if client == allowed {
					want = wire.OK
				}
			}
			if err := c.call(client); wire.CodeOf(err) != want {
				t.Errorf("%s by %s: %v, want %s", c.name, name, err, want)
			}
		}
	}
}

func TestServerRefusesBadCalls(t *testing.T) {
	n := newTown(t)
	addr := n.serve()
	c := n.client(addr, n.cfg.Key)
	for _, bad := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"an unknown field", "POST", pathUsage, `{"name":"acme","x":1}`, 400, "bad_request"},
		{"two values", "POST", pathUsage, `{"name":"acme"}{}`, 400, "bad_request"},
		{"no body", "POST", pathUsage, ``, 400, "bad_request"},
		{"a body too long", "POST", pathUsage, `{"name":"` + strings.Repeat("a", maxCall) + `"}`, 400, "bad_request"},
		{"a body where none belongs", "GET", pathSummary, `{}`, 400, "bad_request"},
		{"no such partner", "POST", pathUsage, `{"name":"nobody"}`, 400, "bad_request"},
		{"a torn settlement", "POST", pathSettle, "\x00\x00\x00\x01\x00\x09", 400, "bad_request"},
		{"a settlement that counts to four billion", "POST", pathSettle, "\xff\xff\xff\xff", 400, "bad_request"},
		{"a settlement too long", "POST", pathSettle, strings.Repeat("x", maxSettlement+1), 400, "bad_request"},
		{"a malformed id", "POST", pathSuspend, `{"peer":"12D3","reason":"x"}`, 400, "bad_request"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), bad.method, "https://"+addr+bad.path, strings.NewReader(bad.body))
		n.must(err)
		answer, err := c.transport().Do(request)
		n.must(err)
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		n.must(err)
		var f failure
		if err := json.Unmarshal(body, &f); err != nil || answer.StatusCode != bad.status || f.Error.Code != bad.code || f.Error.Message == "" {
			t.Errorf("%s: status %d, %s; want %d with code %s", bad.name, answer.StatusCode, body, bad.status, bad.code)
		}
	}
}

func TestClientTrustsOneHubOnly(t *testing.T) {
	n := newTown(t)
	addr := n.serve()
	c := n.client(addr, n.relay)
	c.Hub = n.edge.ID()
	if _, err := c.Authorise(t.Context(), n.owner, n.key, gib); wire.CodeOf(err) != wire.HubAway {
		t.Errorf("a call to another hub: %v, want hub_away", err)
	}
	away := n.client("127.0.0.1:1", n.relay)
	if _, err := away.Authorise(t.Context(), n.owner, n.key, gib); wire.CodeOf(err) != wire.HubAway {
		t.Errorf("a call to nobody: %v, want hub_away", err)
	}
}

func TestDirectoryIsSignedAsItTravels(t *testing.T) {
	n := newTown(t)
	d, err := n.book.Directory(context.Background())
	n.must(err)
	document, hub, now := d.Bytes(), n.cfg.Key.ID(), n.clock.Now()
	got, err := VerifyDirectory("test", hub, document, now)
	n.must(err)
	if diff := cmp.Diff(d, got); diff != "" {
		t.Errorf("VerifyDirectory (-signed +read):\n%s", diff)
	}
	if _, err := VerifyDirectory("test", hub, document, now.Add(directoryLife-time.Millisecond)); err != nil {
		t.Errorf("in its last moment: %v, want nil", err)
	}
	for name, err := range map[string]error{
		"another network": second(VerifyDirectory("main", hub, document, now)),
		"another hub":     second(VerifyDirectory("test", n.relay.ID(), document, now)),
		"expired":         second(VerifyDirectory("test", hub, document, now.Add(directoryLife))),
		"from the future": second(VerifyDirectory("test", hub, document, now.Add(-maxSkew-time.Second))),
		"a changed byte":  second(VerifyDirectory("test", hub, bytes.Replace(document, []byte(`"body":"e`), []byte(`"body":"f`), 1), now)),
		"something after": second(VerifyDirectory("test", hub, append(bytes.Clone(document), "{}"...), now)),
	} {
		if err == nil {
			t.Errorf("%s: VerifyDirectory takes it, want an error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
