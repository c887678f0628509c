package gateway

import (
	"strings"
	"time"
)

// The grammars, as their networks document them. docs/dialects.md is written from these tables.

const (
	notByLine    = "lines are found by country, region, city and ASN"
	notByAddress = "which address a line has is its provider's choice, and it changes"
	notByDevice  = "what stands at the other end of a line is not asked"
)

// sward is our own. Geonode's and Illusory's are parts of it: lifetime, sesstime, type and strict are theirs.
var sward = grammar{name: "sward", title: "Sward", params: []parameter{
	country("country"), region("region"), region("state"), city("city"), asn("asn"),
	session("session"), span("ttl", setsTTL), span("idle", setsIdle), hard("hard"),
	minutes("lifetime", 1, 1440), minutes("sesstime", 1, 1440),
	only("type", "residential", "every line is lent by a resident; which class its address is of, Sward-Exit says"),
	only("strict", "on", "nothing else than what is asked for is ever given"),
	never("zip", notByLine), never("isp", notByLine+": use asn"), never("carrier", notByLine+": use asn"),
	never("os", notByDevice), never("ip", notByAddress),
}}

var brightData = grammar{
	name: "brightdata", title: "Bright Data", ttl: maxTTL, idle: time.Minute, // as long as it is used
	params: []parameter{
		ignored("zone", "an account has one price"),
		country("country"), region("state"), city("city"), asn("asn"),
		session("session"), hard("const"),
		ignored("c_tag", "a mark for the customer's own reports"),
		only("dns", "remote", "names are resolved where the line is"),
		never("zip", notByLine), never("carrier", notByLine+": use asn"), never("os", notByDevice),
		never("ip", notByAddress), never("gip", notByAddress),
		neverFlag("direct", "nothing leaves from the relay itself"),
	},
}

var oxylabs = grammar{
	name: "oxylabs", title: "Oxylabs", ttl: 10 * time.Minute, idle: time.Minute,
	params: []parameter{
		country("cc"), city("city"), asn("asn"),
		{word: "st", takes: "us_ and a state's name", means: "country and region", sets: setsRegion, read: func(r *reading, v string) bool {
			land, name, ok := strings.Cut(v, "_")
			return ok && readCountry(r, land) && readPlace(&r.Region, name)
		}},
		session("sessid"), hardSession("sessid_oneip"), minutes("sesstime", 1, 1440),
		never("zip", notByLine),
	},
}

// iproyal has its parameters behind the key.
var iproyal = grammar{name: "iproyal", title: "IPRoyal", params: []parameter{
	country("country"), region("state"), city("city"),
	{word: "session", takes: "exactly 8 letters and digits", means: "session", sets: setsSession, read: func(r *reading, v string) bool {
		return len(v) == 8 && !strings.Contains(v, "_") && readSession(r, v)
	}},
	span("lifetime", setsTTL),
	never("region", "a part of the world is no place that a line is found by: use country"),
	never("isp", notByLine), never("streaming", "lines are not sorted by their uses"),
	never("skipispstatic", "lines are not sorted by how their addresses are given"),
	never("forcerandom", "a request without a session has another edge already"),
}}

var soax = grammar{
	name: "soax", title: "SOAX", ttl: 6 * time.Minute,
	params: []parameter{
		country("country"), region("region"), city("city"),
		session("sessionid"), seconds("sessionlength", setsTTL), seconds("idlettl", setsIdle),
		{word: "bindttl", takes: "0, or at least sessionlength, in seconds", means: "0: nothing; more: hard", sets: setsBound, read: func(r *reading, v string) bool {
			r.isBound = v == "0" || readTime(&r.bound, v, time.Second)
			return r.isBound
		}},
		never("isp", notByLine), never("opt", "lines are not sorted by whether others use them too"),
	},
	// A session that waits for its edge for as long as it lasts is a hard one. One that waits for a part of it is neither.
	afterwards: func(r *reading) string {
		if !r.isBound || r.bound == 0 {
			return ""
		}
		if r.Hard = r.bound >= orDefault(r.TTL, 6*time.Minute); !r.Hard {
			return "bindttl takes 0, or at least sessionlength, in seconds"
		}
		return ""
	},
}

var netNut = grammar{name: "netnut", title: "NetNut", params: []parameter{
	{word: "res", takes: "any, or one two-letter country code of ISO 3166-1", means: "country", sets: setsCountry, read: func(r *reading, v string) bool {
		return strings.EqualFold(v, "any") || readCountry(r, v)
	}},
	{word: "sid", takes: "a number from 10000 to 999999999", means: "session", sets: setsSession, read: func(r *reading, v string) bool {
		return isNumber(v) && len(v) >= 5 && len(v) <= 9 && readSession(r, v)
	}},
}}

// portSession is the session of a DataImpulse login that gives a session's length and no name: there each port of the door
// is a session, and this door has one.
const portSession = "port"

var dataImpulse = grammar{
	name: "dataimpulse", title: "DataImpulse", ttl: 30 * time.Minute,
	params: []parameter{
		country("cr"), region("state"), city("city"), asn("asn"),
		session("sessid"),
		{word: "sessttl", takes: "minutes from 1 to 120", means: "ttl", sets: "sessttl", read: func(r *reading, v string) bool {
			return readTime(&r.TTL, v, time.Minute) && r.TTL <= 2*time.Hour
		}},
		never("zip", notByLine),
	},
	afterwards: func(r *reading) string {
		if r.TTL != 0 && r.Session == "" {
			r.Session = portSession
		}
		return ""
	},
}

// grammars are all of them, in the order of the manual.
var grammars = []*grammar{&sward, &brightData, &oxylabs, &iproyal, &soax, &netNut, &dataImpulse}

// grammarOf is the grammar of user names with a prefix of wire.LoginPrefix.
func grammarOf(prefix string) *grammar {
	switch prefix {
	case "brd-customer-", "lum-customer-":
		return &brightData
	case "customer-":
		return &oxylabs
	case "package-":
		return &soax
	}
	return &sward
}
