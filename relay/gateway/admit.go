package gateway

import (
	"context"
	"net/http"
	"net/netip"

	"sward/internal/wire"
	"sward/policy"
)

// portRules is a policy in which everything is open but the ports: who may go where is the owner's to say, at the edge.
func portRules(ports []uint16) (*policy.Policy, error) {
	open := make(map[string]policy.Verdict)
	for _, category := range policy.Categories() {
		open[category] = policy.Allow
	}
	return policy.Rules{
		Apps: []policy.App{policy.AppProxy}, Purposes: policy.Purposes(), Ports: ports, PlainHTTP: true, Categories: open,
	}.Compile()
}

// authorise finds out whose request it is.
func (g *Gateway) authorise(ctx context.Context, name, key string, from netip.Addr) (Account, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.DialTime)
	defer cancel()
	return g.cfg.Authorise(ctx, name, key, from)
}

// dial connects to a target that may be named at all: for any other, nothing is dialled.
func (g *Gateway) dial(ctx context.Context, who Account, target policy.Target, exit Exit) (Conn, error) {
	if err := g.admit(target); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.DialTime)
	defer cancel()
	return g.cfg.Dial(ctx, who, target, exit)
}

// admit refuses the ports that are closed and the addresses that nobody may reach. A name is resolved, and its
// addresses are checked, by the edge alone.
func (g *Gateway) admit(target policy.Target) error {
	// Each purpose is accepted here; which one a partner has stands in its grant.
	anything := policy.Request{App: policy.AppProxy, Purpose: policy.Purposes()[0], Target: target}
	if err := g.ports.Check(anything); err != nil {
		return err
	}
	if addr, ok := target.Host.Addr(); ok {
		return g.cfg.Gate.Check(addr)
	}
	return nil
}

// credential reads the name and key of Proxy-Authorization, scheme Basic (RFC 7617).
func credential(h http.Header) (name, key string, err error) {
	values := h.Values("Proxy-Authorization")
	if len(values) == 0 {
		return "", "", wire.Errorf(wire.AuthRequired, "Proxy-Authorization is missing")
	}
	basic := http.Request{Header: http.Header{"Authorization": values}}
	name, key, ok := basic.BasicAuth()
	if !ok || len(values) > 1 {
		return "", "", wire.Errorf(wire.AuthFailed, "Proxy-Authorization is not one Basic credential")
	}
	return name, key, nil
}
