package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

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

// identify finds out who asks with an HTTP header, and for which exit.
func (g *Gateway) identify(ctx context.Context, h http.Header, from netip.Addr) (Account, Exit, error) {
	user, pass, err := credential(h)
	if err != nil {
		return nil, Exit{}, err
	}
	return g.welcome(ctx, user, pass, from)
}

// welcome is identify for a user name and a password. A login that cannot be read costs nobody a question.
func (g *Gateway) welcome(ctx context.Context, user, pass string, from netip.Addr) (Account, Exit, error) {
	l, err := parseLogin(user, pass)
	if err != nil {
		return nil, Exit{}, err
	}
	who, err := g.authorise(ctx, l.Name, l.Key, from)
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.AuthFailed && strings.Contains(l.Name, "-") {
		// A mistyped parameter is read as a piece of the name when no other stands before it.
		err = wire.Errorf(e.Code, "%s; the name is all that stands before the first known parameter", e.Detail)
	}
	return who, l.Exit, err
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
