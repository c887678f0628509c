package policy

import "slices"

// App is what an edge can be asked to do.
type App string

// The apps. An owner switches each on or off.
const (
	AppProxy App = "proxy" // relay bytes to a target
	AppCrawl App = "crawl" // fetch pages within robots.txt
)

// Apps lists every app.
func Apps() []App { return []App{AppProxy, AppCrawl} }

// Purpose is why a partner sends traffic, as vetted when the account was opened. It travels in each
// grant and is shown to the owner.
type Purpose string

// purposes is the closed list. Its order is the wire encoding: append only.
var purposes = []Purpose{
	"market-research", "price-comparison", "search-index", "ai-training", "brand-protection",
	"ad-verification", "academic-research", "web-archive", "seo-monitoring", "security-research",
}

// Purposes lists every purpose in the order of its code.
func Purposes() []Purpose { return slices.Clone(purposes) }

// ParsePurpose accepts the names of the closed list, or returns *Denied purpose_denied.
func ParsePurpose(s string) (Purpose, error) {
	if p := Purpose(s); p.Code() != 0 {
		return p, nil
	}
	return "", denied("purpose_denied", "%.40q is not a purpose of the list", s)
}

// Code is the number of a purpose on the wire, from 1; 0 means none of the list.
func (p Purpose) Code() uint16 { return uint16(slices.Index(purposes, p) + 1) }

// PurposeByCode is the inverse of Code.
func PurposeByCode(c uint16) (Purpose, bool) {
	if c == 0 || int(c) > len(purposes) {
		return "", false
	}
	return purposes[c-1], true
}
