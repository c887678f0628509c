package portmap

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// PCP (RFC 6887), the successor of NAT-PMP on the same port: a head of 24 bytes, then what the operation needs. All
// numbers are big-endian, all addresses have 16 bytes.
const (
	pcpVersion  = 2
	pcpAnnounce = 0 // §14.1: nothing more; the answer has the router's clock
	pcpMap      = 1 // §11.1: nonce, protocol, ports, address
	pcpAnswer   = 0x80
	pcpHead     = 24
	pcpNonce    = 12
	pcpMapLen   = pcpHead + pcpNonce + 4 + 2 + 2 + 16
	pcpUDP      = 17
)

// pcpResponse is an answer, or an announcement, of a router.
type pcpResponse struct {
	op     byte // without pcpAnswer
	result byte
	life   time.Duration
	epoch  uint32

	nonce   [pcpNonce]byte // pcpMap
	inside  uint16         // pcpMap
	outside netip.AddrPort // pcpMap
}

// parsePCP reads an answer. What follows the fields are options, of which none was asked for.
func parsePCP(b []byte) (r pcpResponse, ok bool) {
	if len(b) < pcpHead || b[0] != pcpVersion || b[1]&pcpAnswer == 0 {
		return r, false
	}
	r.op, r.result = b[1]&^pcpAnswer, b[3]
	r.life = time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	r.epoch = binary.BigEndian.Uint32(b[8:])
	switch {
	case r.op == pcpAnnounce:
		return r, true
	case r.op == pcpMap && len(b) >= pcpMapLen && b[pcpHead+pcpNonce] == pcpUDP:
		r.nonce = [pcpNonce]byte(b[pcpHead:])
		r.inside = binary.BigEndian.Uint16(b[40:])
		r.outside = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[44:])).Unmap(), binary.BigEndian.Uint16(b[42:]))
		return r, true
	}
	return r, false
}

// pcpRequest begins a request from the host at inside.
func pcpRequest(op byte, life time.Duration, inside netip.Addr) []byte {
	b := []byte{pcpVersion, op, 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(life/time.Second))
	a := inside.As16()
	return append(b, a[:]...)
}

// pcpMapRequest asks for a mapping; a life of 0 removes it.
func pcpMapRequest(nonce [pcpNonce]byte, want mapping, life time.Duration, inside netip.Addr) []byte {
	b := append(pcpRequest(pcpMap, life, inside), nonce[:]...)
	b = append(b, pcpUDP, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, want.internal)
	b = binary.BigEndian.AppendUint16(b, want.external.Port())
	outside := netip.IPv4Unspecified().As16() // the router chooses
	return append(b, outside[:]...)
}

// pcp is a router that speaks PCP.
type pcp struct {
	at    netip.AddrPort
	clock *epoch
	nonce [pcpNonce]byte // shows the router that a renewal comes from who asked first
}

func (p *pcp) protocol() string { return "PCP" }
func (p *pcp) router() string   { return p.at.Addr().String() }
func (p *pcp) addr() netip.Addr { return p.at.Addr() }

func (p *pcp) call(ctx context.Context, op byte, request func(netip.Addr) []byte, fits func(pcpResponse) bool) (r pcpResponse, err error) {
	foreign := false // it speaks another version
	err = exchange(ctx, p.at, request, func(answer []byte) bool {
		if len(answer) >= 4 && answer[0] == pmpVersion {
			foreign = true
			return true
		}
		var ok bool
		r, ok = parsePCP(answer)
		return ok && r.op == op && fits(r)
	})
	switch {
	case err != nil:
		return r, err
	case foreign:
		return r, fmt.Errorf("%w: it speaks NAT-PMP only", Fault)
	}
	switch r.result {
	case 0:
		return r, nil
	case 2: // NOT_AUTHORIZED
		return r, Refused
	case 7: // NETWORK_FAILURE
		return r, Offline
	case 8, 10, 11: // NO_RESOURCES, USER_EX_QUOTA, CANNOT_PROVIDE_EXTERNAL
		return r, Conflict
	case 12: // ADDRESS_MISMATCH: between us and the router somebody translates
		return r, DoubleNAT
	}
	return r, fmt.Errorf("%w: PCP result %d", Fault, r.result)
}

// greet tells whether the router speaks PCP, and what its clock says.
func (p *pcp) greet(ctx context.Context) (pcpResponse, error) {
	return p.call(ctx, pcpAnnounce, func(inside netip.Addr) []byte { return pcpRequest(pcpAnnounce, 0, inside) },
		func(pcpResponse) bool { return true })
}

func (p *pcp) mapFor(ctx context.Context, want mapping, life time.Duration) (pcpResponse, error) {
	return p.call(ctx, pcpMap, func(inside netip.Addr) []byte { return pcpMapRequest(p.nonce, want, life, inside) },
		func(r pcpResponse) bool { return r.nonce == p.nonce && r.inside == want.internal })
}

func (p *pcp) open(ctx context.Context, want mapping, lease time.Duration) (mapping, error) {
	r, err := p.mapFor(ctx, want, lease)
	if err != nil {
		return unanswered(want, err), err
	}
	p.clock.heard(r.epoch, time.Now())
	m := mapping{want.internal, r.outside, r.life}
	if err := known(r.outside.Addr()); err != nil {
		p.close(ctx, m) //nolint:errcheck // of no use to anybody, and it ends by itself
		return mapping{}, err
	}
	if r.outside.Port() == 0 || r.life <= 0 {
		return mapping{}, fmt.Errorf("%w: it opens port %d for %s", Fault, r.outside.Port(), r.life)
	}
	return m, nil
}

func (p *pcp) close(ctx context.Context, m mapping) error {
	_, err := p.mapFor(ctx, m, 0)
	return err
}

func (p *pcp) holds(ctx context.Context, _ mapping) (bool, error) {
	r, err := p.greet(ctx)
	if err != nil {
		return false, err
	}
	return !p.clock.heard(r.epoch, time.Now()), nil
}
