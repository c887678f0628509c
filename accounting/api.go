package accounting

import (
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// Where the hub listens for relays, edges and operators: HTTP with JSON over mutual TLS, the caller's identity being
// the key of its certificate. Every call is a POST but the two that only read.
const (
	pathAuthorise = "/v1/relay/authorise"
	pathRenew     = "/v1/relay/renew"
	pathRelease   = "/v1/relay/release"
	pathHeartbeat = "/v1/relay/heartbeat"
	pathHistory   = "/v1/relay/history"
	pathReport    = "/v1/relay/usage"
	pathSettle    = "/v1/settle"
	pathWhere     = "/v1/relay/where"
	pathDirectory = "/v1/directory"
	pathConsent   = "/v1/edge/consent"
	pathAccount   = "/v1/edge/account"
	pathStatement = "/v1/edge/statement"
	pathPartner   = "/v1/operator/partner"
	pathCredit    = "/v1/operator/credit"
	pathLimits    = "/v1/operator/limits"
	pathUsage     = "/v1/operator/usage"
	pathBetween   = "/v1/operator/usage/between"
	pathInvite    = "/v1/operator/invite"
	pathRelay     = "/v1/operator/relay"
	pathSuspend   = "/v1/operator/suspend"
	pathSummary   = "/v1/operator/summary"
)

// MaxFinals bounds the channels that a release names: more would be waited for longer than their receipts take.
const MaxFinals = 1024

// Final says how far a channel got, in the words of the relay that releases a grant: the serial of the last receipt
// that both sides signed and that counts bytes on the grant.
type Final struct {
	Channel ChannelID `json:"channel"`
	Serial  uint64    `json:"serial"`
}

// Released is what a release has done so far.
type Released struct {
	Closed   bool  `json:"closed"`   // false while a receipt that the relay named is not on file yet
	Returned Micro `json:"returned"` // what went back to the partner's balance
}

// Settled is what a settlement has done to one channel.
type Settled struct {
	Channel ChannelID `json:"channel"`
	Serial  uint64    `json:"serial"`            // of the best receipt on file now; 0 if there is none
	Refused Refusal   `json:"refused,omitempty"` // why the last record of this channel was not taken; empty if all were
}

// Heartbeat is what a relay tells the hub about itself. The addresses are for the directory: an empty one leaves what
// is known. The rest is for the operator's eyes.
type Heartbeat struct {
	Agent   string `json:"agent,omitempty"` // program and version
	Edges   int    `json:"edges"`           // sessions open
	Streams int    `json:"streams"`
	Proxy   string `json:"proxy,omitempty"`  // host:port of the partners' door
	Tunnel  string `json:"tunnel,omitempty"` // host:port (UDP) that edges dial
	Region  string `json:"region,omitempty"`
	Reach   string `json:"reach,omitempty"` // host:port of the libp2p host; empty: it has none
	Homes   []Home `json:"homes,omitempty"` // edges that let other relays come
}

// Orders is what the hub answers to a heartbeat: whom a relay must not serve, and which terms an owner may have
// accepted.
type Orders struct {
	Suspended []identity.ID `json:"suspended"`
	Consents  []Hash        `json:"consents"`
	Peers     []identity.ID `json:"peers"`  // all relays of the network: who may come over a circuit
	Relays    int           `json:"relays"` // heard of in the last minute, this one included: they share what a target stands
}

// RelayInfo admits a relay, or changes what the directory says about it. Only the ID is needed: the relay tells its
// addresses in its heartbeats.
type RelayInfo struct {
	ID     identity.ID `json:"id"`
	Proxy  string      `json:"proxy,omitempty"`
	Tunnel string      `json:"tunnel,omitempty"`
	Region string      `json:"region,omitempty"`
}

// History is what a relay may know of an edge before it trusts it with a window.
type History struct {
	Bytes     uint64 `json:"bytes"` // credited so far, on all relays
	Suspended bool   `json:"suspended"`
}

// EdgeAccount is what the hub owes an edge's owner.
type EdgeAccount struct {
	Points     Micro       `json:"points"`
	Bytes      uint64      `json:"bytes"` // paid for so far
	Registered bool        `json:"registered"`
	Suspended  string      `json:"suspended,omitempty"` // why; empty when it is not
	Days       []UsageDay  `json:"days"`                // the last days with traffic, newest first
	Edge       identity.ID `json:"edge"`
}

// UsageDay is one UTC day of an account.
type UsageDay struct {
	Day   string `json:"day"` // 2006-01-02
	Up    uint64 `json:"up"`
	Down  uint64 `json:"down"`
	Micro Micro  `json:"micro"` // charged to a partner, earned by an edge
}

// Usage is a partner's account as the partner may see it.
type Usage struct {
	Name     string       `json:"name"`
	Purpose  uint16       `json:"purpose"`
	Limits   Limits       `json:"limits"`     // that hold, defaults filled in
	Own      Limits       `json:"own_limits"` // as they were set
	Today    uint64       `json:"today"`      // bytes settled this UTC day
	Up       uint64       `json:"up"`
	Down     uint64       `json:"down"`
	Charged  Micro        `json:"charged"`
	Refunded Micro        `json:"refunded"` // of it, for what the partner had nothing of
	Pending  Micro        `json:"pending"`  // refunds that wait for later fees
	Balance  Micro        `json:"balance"`  // free to be granted
	Reserved Micro        `json:"reserved"` // held by live grants
	Bytes    uint64       `json:"bytes"`    // what the balance buys at today's price
	Days     []UsageDay   `json:"days"`     // the last days with traffic, newest first
	Grants   []GrantUsage `json:"grants"`   // live ones, newest first
}

// GrantUsage is how far one live grant has got.
type GrantUsage struct {
	ID       GrantID     `json:"id"`
	Relay    identity.ID `json:"relay"`
	Limit    uint64      `json:"limit"`
	Used     uint64      `json:"used"` // settled bytes
	Issued   time.Time   `json:"issued"`
	NotAfter time.Time   `json:"not_after"`
	Closing  bool        `json:"closing"`
}

// Summary is the whole network in numbers.
type Summary struct {
	Network   string         `json:"network"`
	Hub       identity.ID    `json:"hub"`
	Price     Price          `json:"price"`
	Deposited Micro          `json:"deposited"`
	Available Micro          `json:"available"` // partners' balances
	Reserved  Micro          `json:"reserved"`  // held by live grants
	Edges     Micro          `json:"edges"`     // owed to edges
	Relays    Micro          `json:"relays"`    // owed to relays
	Fees      Micro          `json:"fees"`
	Grants    int            `json:"grants"`   // live
	Channels  int            `json:"channels"` // that may still be settled
	Evidence  int            `json:"evidence"` // records of broken rules
	Records   uint64         `json:"records"`  // in the journal
	Partners  []PartnerTotal `json:"partners"`
	Relay     []RelayStatus  `json:"relay"`
	Top       []EdgeTotal    `json:"top"`   // the edges that earned most, at most 100
	EdgeCount int            `json:"count"` // of all edges
}

// PartnerTotal is one partner in a Summary.
type PartnerTotal struct {
	Name     string `json:"name"`
	Balance  Micro  `json:"balance"`
	Reserved Micro  `json:"reserved"`
}

// EdgeTotal is one edge in a Summary.
type EdgeTotal struct {
	Edge      identity.ID `json:"edge"`
	Points    Micro       `json:"points"`
	Suspended string      `json:"suspended,omitempty"`
}

// RelayStatus is one relay in a Summary.
type RelayStatus struct {
	RelayInfo
	Agent     string    `json:"agent"`
	Edges     int       `json:"edges"`
	Streams   int       `json:"streams"`
	Seen      time.Time `json:"seen"` // zero: not since the hub started
	Points    Micro     `json:"points"`
	Suspended string    `json:"suspended,omitempty"`
}

// Invite is a code with which an owner registers one edge. It is shown this once.
type Invite struct {
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// The bodies of the calls.
type (
	authoriseCall struct {
		Name string `json:"name"`
		Key  string `json:"key"`
		Want uint64 `json:"want_bytes"`
	}
	renewCall struct {
		Grant GrantID `json:"grant"`
		Want  uint64  `json:"want_bytes"`
	}
	grantAnswer struct {
		Grant []byte `json:"grant"` // SignedGrant.Bytes
		Terms Terms  `json:"terms"`
	}
	releaseCall struct {
		Grant  GrantID `json:"grant"`
		Finals []Final `json:"finals"`
	}
	settleAnswer struct {
		Channels []Settled `json:"channels"`
	}
	consentCall struct {
		Code    string `json:"code"`
		Consent Hash   `json:"consent_hash"`
	}
	partnerCall struct {
		Name    string `json:"name"`
		Purpose uint16 `json:"purpose"`
	}
	partnerAnswer struct {
		Key string `json:"key"`
	}
	creditCall struct {
		Name  string `json:"name"`
		Bytes uint64 `json:"bytes"`
	}
	limitsCall struct {
		Name   string `json:"name"`
		Limits Limits `json:"limits"`
	}
	usageCall struct {
		Name string `json:"name"`
	}
	historyCall struct {
		Edge identity.ID `json:"edge"`
	}
	suspendCall struct {
		Peer   identity.ID `json:"peer"`
		Reason string      `json:"reason"`
	}
)

// failure is the body of every answer that is not 2xx. The code is a name of wire's table, so that a caller reads the
// same reasons on every road.
type failure struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		RetryMS int64  `json:"retry_after_ms,omitempty"` // when to ask again, where that is known
	} `json:"error"`
}

func (f failure) wire() *wire.Error {
	code, known := wire.CodeByName(f.Error.Code)
	if !known || code == wire.OK {
		code = wire.Internal
	}
	after := time.Duration(min(max(f.Error.RetryMS, 0), dayMillis)) * time.Millisecond
	return &wire.Error{Code: code, Detail: f.Error.Message, After: after}
}
