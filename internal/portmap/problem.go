package portmap

import (
	"errors"
	"slices"
)

// Problem is why a port is not open, by a stable name. As an error it says so in words.
type Problem string

// Problems, the most telling first: where two routers fail in two ways, the owner reads the earlier one.
const (
	CarrierNAT Problem = "carrier_nat"
	DoubleNAT  Problem = "double_nat"
	Hidden     Problem = "not_public" // one of the two above: the router does not say which
	Offline    Problem = "offline"
	Refused    Problem = "refused"
	Conflict   Problem = "conflict"
	Fault      Problem = "fault"
	NoRouter   Problem = "no_router"
)

var problems = []Problem{CarrierNAT, DoubleNAT, Hidden, Offline, Refused, Conflict, Fault, NoRouter}

func (p Problem) Error() string {
	switch p {
	case "":
		return ""
	case CarrierNAT:
		return "the router's own address is not public: the provider shares one among several homes"
	case DoubleNAT:
		return "the router's own address is not public: it is behind another router"
	case Hidden:
		return "the router has no public address of its own: it is behind another router, or the provider shares one among several homes"
	case Refused:
		return "the router refuses to open the port"
	case Conflict:
		return "the router has given all the ports that were asked for to others"
	case Offline:
		return "the router has no address of its own"
	case Elsewhere:
		return "relays see this home at another address than the router's own: behind it is one more router"
	case NoRouter:
		return "no router here opens ports by UPnP, NAT-PMP or PCP"
	}
	return "the router does not do as it should"
}

// Remedy is what the owner can do about it.
func (p Problem) Remedy() string {
	switch p {
	case "":
		return ""
	case CarrierNAT:
		return "Nothing is needed: the edge works without. Some providers give a public address to those who ask."
	case DoubleNAT, Hidden, Elsewhere:
		return "Let the inner router be a bridge, or open the port on the outer one by hand."
	case Refused:
		return "Allow this device to open ports, in the router's settings for UPnP."
	case Conflict:
		return "Look at the list of open ports in the router and remove old ones."
	case Offline:
		return "Look whether the router is online."
	case NoRouter:
		return "Switch on UPnP in the router, or leave it: the edge works without."
	}
	return "Restart the router, or leave it: the edge works without."
}

// problemOf is the Problem in err, Fault if there is none.
func problemOf(err error) Problem {
	if p, ok := errors.AsType[Problem](err); ok {
		return p
	}
	return Fault
}

// worse returns the more telling of two errors; either may be nil.
func worse(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case slices.Index(problems, problemOf(b)) < slices.Index(problems, problemOf(a)):
		return b
	}
	return a
}
