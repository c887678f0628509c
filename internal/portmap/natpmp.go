package portmap

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// NAT-PMP (RFC 6886): version 0, an opcode, and for an answer the opcode with its high bit, a result and the router's
// clock. All numbers are big-endian.
const (
	pmpVersion    = 0
	pmpAddress    = 0 // → 12 bytes: … external address
	pmpMapUDP     = 1 // 12 bytes: … internal port, external port, lifetime → 16 bytes
	pmpAnswer     = 0x80
	pmpHead       = 8
	pmpAddressLen = pmpHead + 4
	pmpMapLen     = pmpHead + 8
)

// pmpResponse is an answer, or an announcement, of a router.
type pmpResponse struct {
	op      byte // without pmpAnswer
	result  uint16
	epoch   uint32
	address netip.Addr    // pmpAddress
	inside  uint16        // pmpMapUDP
	outside uint16        // pmpMapUDP
	life    time.Duration // pmpMapUDP
}

// parsePMP reads an answer. One with a result that is not 0 may end after the clock.
func parsePMP(b []byte) (r pmpResponse, ok bool) {
	if len(b) < pmpHead || b[0] != pmpVersion || b[1]&pmpAnswer == 0 {
		return r, false
	}
	r.op, r.result, r.epoch = b[1]&^pmpAnswer, binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	switch {
	case r.result != 0:
		return r, true
	case r.op == pmpAddress && len(b) >= pmpAddressLen:
		r.address = netip.AddrFrom4([4]byte(b[pmpHead:]))
	case r.op == pmpMapUDP && len(b) >= pmpMapLen:
		r.inside, r.outside = binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])
		r.life = time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Second
	default:
		return r, false
	}
	return r, true
}

// pmpMapRequest asks for a mapping; a lifetime of 0 removes it, whatever its external port.
func pmpMapRequest(inside, outside uint16, life time.Duration) []byte {
	b := []byte{pmpVersion, pmpMapUDP, 0, 0}
	b = binary.BigEndian.AppendUint16(b, inside)
	b = binary.BigEndian.AppendUint16(b, outside)
	return binary.BigEndian.AppendUint32(b, uint32(life/time.Second))
}

// natPMP is a router that speaks NAT-PMP.
type natPMP struct {
	at    netip.AddrPort
	clock *epoch
}

func (n *natPMP) protocol() string { return "NAT-PMP" }
func (n *natPMP) router() string   { return n.at.Addr().String() }
func (n *natPMP) addr() netip.Addr { return n.at.Addr() }

// call asks and returns the answer to this operation.
func (n *natPMP) call(ctx context.Context, request []byte, fits func(pmpResponse) bool) (r pmpResponse, err error) {
	err = exchange(ctx, n.at, func(netip.Addr) []byte { return request }, func(answer []byte) bool {
		var ok bool
		r, ok = parsePMP(answer)
		return ok && r.op == request[1] && (r.result != 0 || fits(r))
	})
	if err != nil {
		return r, err
	}
	switch r.result {
	case 0:
		return r, nil
	case 2: // not authorised
		return r, Refused
	case 3: // network failure: the router has got no address itself
		return r, Offline
	case 4: // out of resources
		return r, Conflict
	}
	return r, fmt.Errorf("%w: NAT-PMP result %d", Fault, r.result)
}

// outside asks for the router's own address. It opens nothing, and tells whether the router speaks the protocol at all.
func (n *natPMP) outside(ctx context.Context) (r pmpResponse, err error) {
	return n.call(ctx, []byte{pmpVersion, pmpAddress}, func(pmpResponse) bool { return true })
}

func (n *natPMP) open(ctx context.Context, want mapping, lease time.Duration) (mapping, error) {
	r, err := n.outside(ctx)
	if err != nil {
		return mapping{}, err
	}
	if err := known(r.address); err != nil {
		return mapping{}, err
	}
	m, err := n.call(ctx, pmpMapRequest(want.internal, want.external.Port(), lease), func(r pmpResponse) bool { return r.inside == want.internal })
	if err != nil {
		return unanswered(want, err), err
	}
	if m.outside == 0 || m.life <= 0 {
		return mapping{}, fmt.Errorf("%w: it opens port %d for %s", Fault, m.outside, m.life)
	}
	n.clock.heard(m.epoch, time.Now())
	return mapping{want.internal, netip.AddrPortFrom(r.address, m.outside), m.life}, nil
}

func (n *natPMP) close(ctx context.Context, m mapping) error {
	_, err := n.call(ctx, pmpMapRequest(m.internal, 0, 0), func(r pmpResponse) bool { return r.inside == m.internal })
	return err
}

func (n *natPMP) holds(ctx context.Context, m mapping) (bool, error) {
	r, err := n.outside(ctx)
	if err != nil {
		return false, err
	}
	return !n.clock.heard(r.epoch, time.Now()) && r.address == m.external.Addr(), nil
}
