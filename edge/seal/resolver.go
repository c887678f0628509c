package seal

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sward/internal/outside"
)

// maxQuery bounds a question put to the trap; those of a resolver are below 300 bytes.
const maxQuery = 1024

// trap is a DNS server in an attacker's hand. It answers over a pipe, so that nothing of it is on any network; what asks it
// is the resolver that a real request has.
type trap struct {
	resolver net.Resolver

	mu      sync.Mutex
	answers map[string]*zone
}

// zone is what the attacker's server says of one name.
type zone struct {
	aliases []string       // a chain of CNAMEs before the answer
	first   []netip.Addr   // the first lookup is answered so
	then    []netip.Addr   // every later one; nil: as the first
	lookups map[uint16]int // questions, by type
}

// turn is the answer to the next question of this type.
func (z *zone) turn(kind uint16) []netip.Addr {
	z.lookups[kind]++
	if z.then != nil && z.lookups[kind] > 1 {
		return z.then
	}
	return z.first
}

func newTrap() *trap {
	d := &trap{answers: map[string]*zone{}}
	d.resolver = net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go d.serve(far) // ends when the resolver closes its end
		return near, nil
	}}
	return d
}

// set gives name its answers and forgets what was asked before.
func (d *trap) set(name string, z zone) {
	d.mu.Lock()
	defer d.mu.Unlock()
	z.lookups = map[uint16]int{}
	d.answers = map[string]*zone{name: &z}
}

// resolve is outside.Resolve with the trap as the system's DNS server.
func (d *trap) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	return outside.ResolveBy(ctx, &d.resolver, name)
}

// lookups is how often the name was looked up: the greatest number of questions of one type.
func (d *trap) lookups(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := 0
	if z := d.answers[name]; z != nil {
		for _, n := range z.lookups {
			most = max(most, n)
		}
	}
	return most
}

// serve answers the questions on one connection, in the framing that DNS has over TCP (RFC 1035 §4.2.2).
func (d *trap) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(attackTime)) //nolint:errcheck // a pipe has deadlines
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint16(size[:])
		if n > maxQuery {
			return
		}
		question := make([]byte, n)
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := d.answer(question)
		if answer == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer is the reply to one question, nil to what is none.
func (d *trap) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	d.mu.Lock()
	defer d.mu.Unlock()
	z := d.answers[strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")]
	if z == nil {
		m.RCode = dnsmessage.RCodeNameError
	} else {
		m.Answers = z.records(q)
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// records are the chain of aliases and the addresses of the type that was asked for.
func (z *zone) records(q dnsmessage.Question) []dnsmessage.Resource {
	var all []dnsmessage.Resource
	name := q.Name
	add := func(kind dnsmessage.Type, body dnsmessage.ResourceBody) {
		all = append(all, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: name, Type: kind, Class: q.Class}, Body: body, // TTL 0
		})
	}
	for _, alias := range z.aliases {
		next, err := dnsmessage.NewName(alias + ".")
		if err != nil {
			continue
		}
		add(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: next})
		name = next
	}
	for _, a := range z.turn(uint16(q.Type)) {
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			add(q.Type, &dnsmessage.AResource{A: a.As4()})
		case !a.Is4() && q.Type == dnsmessage.TypeAAAA:
			add(q.Type, &dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	return all
}
