package crawler

import (
	"fmt"
	"slices"

	"sward/crawler/rights"
	"sward/internal/wire"
)

// Codes of pages that a site keeps from a job. They are not charged.
const (
	codeReserved = "rights_reserved"    // the site forbids the use that the job is for
	codeGranted  = "rights_not_granted" // the site does not allow what policy.require names
	codePayment  = "payment_required"   // the site asks a price (402 with crawler-price); nobody pays unasked
)

// Policy is what a partner asks of the rights of each page.
type Policy struct {
	Require []string `json:"require,omitempty"` // uses that the site has to have allowed in so many words
}

// checkPurpose names what is wrong with purpose and policy.
func (o Order) checkPurpose() error {
	if o.Purpose != "" {
		if _, err := rights.ParseUse(o.Purpose); err != nil {
			return fmt.Errorf("purpose: %w", err)
		}
	}
	for _, name := range o.Policy.Require {
		if _, err := rights.ParseUse(name); err != nil {
			return fmt.Errorf("policy.require: %w", err)
		}
	}
	return nil
}

// uses are what the job's pages are for: what the order says, and what the account was opened for, which an order cannot
// take back.
func (j *job) uses() []rights.Use {
	var list []rights.Use
	for _, u := range []rights.Use{rights.UseOf(j.account.Purpose), rights.Use(j.order.Purpose)} {
		if u != "" && !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	return list
}

// withheld reports whether the site keeps a page from the job, and fills in why. A list of addresses uses no page.
func (o *outcome) withheld(r rights.Rights) bool {
	return o.reserved(r) || o.notGranted(r)
}

// reserved reports whether the site forbids a use of the job.
func (o *outcome) reserved(r rights.Rights) bool {
	if o.job.kind == Map {
		return false
	}
	for _, u := range o.job.uses() {
		if answer, signal := r.Verdict.For(u); answer == rights.Deny {
			o.fate, o.code, o.owner = fail, codeReserved, wire.OwnerPolicy
			o.detail = fmt.Sprintf("the site reserves %s: %s", u, signal)
			return true
		}
	}
	return false
}

// notGranted reports whether the site is silent on, or forbids, a use that the partner requires.
func (o *outcome) notGranted(r rights.Rights) bool {
	if o.job.kind == Map {
		return false
	}
	for _, name := range o.job.order.Policy.Require {
		if answer, signal := r.Verdict.For(rights.Use(name)); answer != rights.Allow {
			o.fate, o.code, o.owner = fail, codeGranted, wire.OwnerPolicy
			o.detail = fmt.Sprintf("the site does not allow %s", name)
			if signal != "" {
				o.detail += ": " + signal
			}
			return true
		}
	}
	return false
}
