package relay

import (
	"net/netip"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// refusalMemory is how long a policy is passed over for what it has refused.
	refusalMemory = 10 * time.Minute
	// maxRefusals bounds the things that are remembered as refused, maxRefusers the policies for each.
	maxRefusals = 4096
	maxRefusers = 16
	// maxProofs bounds the things that policies are known to let pass. One that is forgotten is proved by the next stream.
	maxProofs = 4096
)

// thing is what a policy refuses: an app, a purpose, a port or a host, the other fields being zero.
type thing struct {
	app     wire.App
	purpose uint16
	port    uint16
	host    string
}

// refusedThing is what of w a refusal with code is about. It is false of codes that say nothing of an owner's policy.
func refusedThing(code wire.Code, w *Want) (thing, bool) {
	switch code {
	case wire.AppDenied:
		return thing{app: w.App}, true
	case wire.PurposeDenied:
		return thing{purpose: w.Purpose}, true
	case wire.PlainHTTPDenied, wire.PortNotAllowed:
		return thing{port: w.Port}, true
	case wire.DomainDenied, wire.CategoryDenied:
		return thing{host: w.Host}, true
	}
	return thing{}, false
}

// refuser is a policy that refused a thing. An edge's digest is its own word, so one edge alone is not believed: it could
// take the name of the most common policy and hide everybody who has it. The second one must have another prefix.
type refuser struct {
	policy    uint32
	first     identity.ID
	near      netip.Prefix // the first's
	confirmed bool
	err       *wire.Error
	until     time.Time
}

// refusals is what policies have lately refused, so that a request is not sent where it would be refused again.
type refusals map[thing][]refuser

// learn remembers that the owner of c refused w, and reports whether that is a matter of its policy.
func (m refusals) learn(c *Candidate, w *Want, err *wire.Error, now time.Time) bool {
	what, ok := refusedThing(err.Code, w)
	if !ok {
		return false
	}
	list := m[what]
	for i := range list {
		r := &list[i]
		switch {
		case r.policy != c.Policy:
			continue
		case !now.Before(r.until):
			*r = refuser{policy: c.Policy, first: c.ID, near: c.Prefix, err: err}
		case c.ID != r.first && (!c.Prefix.IsValid() || c.Prefix != r.near):
			r.confirmed = true
		}
		r.until = now.Add(refusalMemory)
		return true
	}
	if list == nil && len(m) >= maxRefusals {
		for old := range m {
			delete(m, old) // a refusal that is forgotten costs one more
			break
		}
	}
	if len(list) >= maxRefusers {
		list = list[1:]
	}
	m[what] = append(list, refuser{policy: c.Policy, first: c.ID, near: c.Prefix, err: err, until: now.Add(refusalMemory)})
	return true
}

// things are all that a policy may refuse w for.
func things(w *Want) [4]thing {
	return [...]thing{{app: w.App}, {purpose: w.Purpose}, {port: w.Port}, {host: w.Host}}
}

// proof is that an edge with a policy has let a thing pass.
type proof struct {
	policy uint32
	thing  thing
}

// proofs are when that was. Two edges are cheap, and refusals are words: who says of a policy under which others serve a
// thing that it refuses that thing is not believed.
type proofs map[proof]time.Time

// note remembers that c has opened a stream for w.
func (m proofs) note(c *Candidate, w *Want, now time.Time) {
	if c.Policy == 0 {
		return
	}
	for _, what := range things(w) {
		p := proof{c.Policy, what}
		if what == (thing{}) {
			continue
		}
		if _, known := m[p]; !known {
			dropOne(m, maxProofs)
		}
		m[p] = now
	}
}

func (m proofs) hold(p proof, now time.Time) bool {
	at, known := m[p]
	return known && now.Sub(at) < refusalMemory
}

// known appends to refuse the policies that are known to refuse w, and returns one such refusal.
func (m refusals) known(w *Want, against proofs, refuse []uint32, now time.Time) ([]uint32, *wire.Error) {
	if len(m) == 0 {
		return refuse, nil
	}
	var last *wire.Error
	for _, what := range things(w) {
		if what == (thing{}) {
			continue
		}
		for _, r := range m[what] {
			if r.confirmed && now.Before(r.until) && !against.hold(proof{r.policy, what}, now) {
				refuse, last = append(refuse, r.policy), r.err
			}
		}
	}
	return refuse, last
}
