package accounting

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// PathHousehold is where an edge asks about the home it is in.
const PathHousehold = "/v1/edge/household"

// What an edge's owner may do about a household. The empty act only asks.
const (
	HouseholdInvite = "invite" // With is one of mine: it is to agree
	HouseholdAgree  = "agree"  // to the invitation
	HouseholdLeave  = "leave"  // or refuse the invitation
)

// HouseholdCaps are volume caps of one device, or of a household: the smallest of its devices'. 0 is none.
type HouseholdCaps struct {
	Day        int64  `json:"day"`
	Month      int64  `json:"month"`
	BillingDay int    `json:"billing_day"`
	Zone       string `json:"time_zone"` // IANA name, where days and months are counted
}

// HouseholdVolume is a count of bytes in the periods that are named: the date of the day, and on which the month began.
type HouseholdVolume struct {
	Day        string `json:"day"`
	Month      string `json:"month"`
	DayBytes   int64  `json:"day_bytes"`
	MonthBytes int64  `json:"month_bytes"`
}

// HouseholdCall is what an edge says of itself, and what its owner wants done.
type HouseholdCall struct {
	Act  string          `json:"act,omitempty"`
	With identity.ID     `json:"with,omitzero"`
	Caps HouseholdCaps   `json:"caps"` // this device's own
	Used HouseholdVolume `json:"used"` // by this device
}

// HouseholdMember is one device.
type HouseholdMember struct {
	ID     identity.ID     `json:"id"`
	Agreed bool            `json:"agreed"` // false: invited
	Here   bool            `json:"here"`   // heard of lately, from the address from which the asking device calls
	Seen   time.Time       `json:"seen"`
	Used   HouseholdVolume `json:"used"`
}

// HouseholdAnswer is what the hub knows of an edge's home.
type HouseholdAnswer struct {
	Near    []identity.ID     `json:"near"`            // other devices behind the same address, which share nothing with this one yet
	Name    string            `json:"name,omitempty"`  // of the household; empty: none
	Agreed  bool              `json:"agreed"`          // this device's owner has
	From    identity.ID       `json:"from,omitzero"`   // who invited it
	Members []HouseholdMember `json:"members"`         // this device included
	Caps    HouseholdCaps     `json:"caps"`            // of all together
	Used    HouseholdVolume   `json:"used"`            // by all together
	Allow   *HouseholdVolume  `json:"allow,omitempty"` // how far this device may go in the periods named; nil: as far as its own caps
}

// Household asks the hub about the home that this edge is in.
func (c *Client) Household(ctx context.Context, call HouseholdCall) (HouseholdAnswer, error) {
	var answer HouseholdAnswer
	return answer, c.call(ctx, http.MethodPost, PathHousehold, call, &answer)
}

// HouseholdHandler serves Household's calls with do, which hears who calls and from where.
func (b *Book) HouseholdHandler(do func(edge identity.ID, from netip.Addr, call HouseholdCall) (HouseholdAnswer, error)) http.Handler {
	s := &server{book: b}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, anyPeer, maxCall, func(_ context.Context, peer identity.ID, body []byte) (any, error) {
			var call HouseholdCall
			if err := unmarshalStrict(body, &call); err != nil {
				return nil, wire.Errorf(wire.BadRequest, "%v", err)
			}
			from, err := netip.ParseAddrPort(r.RemoteAddr)
			if err != nil {
				return nil, errors.New("the caller has no address")
			}
			return do(peer, from.Addr().Unmap(), call)
		})
	})
}
