package edge

import (
	"context"
	"net"
	"strconv"

	"sward/edge/seal"
	"sward/internal/outside"
	"sward/policy"
)

// holdSeal is the name of the hold of an edge whose home is open.
const holdSeal = "seal"

// newSeal prepares the worker that attacks this home through the way out of this edge. A closed world, as a test or the
// sandbox brings one, has no sockets of this machine and no hosts file to try.
func (e *Edge) newSeal() (*seal.Seal, error) {
	cfg := seal.Config{
		Ask: e.askAsStranger, Out: e.dialer.Dialer, Own: e.gate.relist, Done: e.sealed,
		Clock: e.cfg.Clock, Log: e.cfg.Log,
	}
	if cfg.Sockets = e.cfg.Dial == nil; cfg.Sockets {
		cfg.Hosts, cfg.Routers = hostsPath, outside.Near
	}
	return seal.New(cfg)
}

// Seal is the outcome of the last attack on this home.
func (e *Edge) Seal() seal.Report { return e.seal.Report() }

// askAsStranger is the way of a relay's stream from its first frame to the dial, and that of a crawl's connection, which has
// its target as one text.
func (e *Edge) askAsStranger(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error) {
	target, err := parseTarget(host, port)
	if app == policy.AppCrawl {
		if target, err = policy.ParseTarget(net.JoinHostPort(host, strconv.Itoa(int(port)))); err != nil {
			err = outside.Refusal(err)
		}
	}
	if err != nil {
		return nil, err
	}
	d := &dialer{out, e.terms, e.cfg.Clock}
	return d.open(ctx, app, e.welcomePurpose(), target)
}

// welcomePurpose is one that the owner accepts, so that an attack meets more than the refusal of its purpose.
func (e *Edge) welcomePurpose() policy.Purpose {
	if welcome := e.terms().Policy.Purposes; len(welcome) > 0 {
		return welcome[0]
	}
	return policy.Purposes()[0]
}

// sealed acts on the outcome: through a home that is open nothing runs.
func (e *Edge) sealed(r seal.Report) {
	if r.Whole() {
		e.release(holdSeal)
	} else {
		e.hold(holdSeal, r.String())
	}
}
