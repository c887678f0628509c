package gateway

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSession bounds a session's name in bytes: it is a key of the relay's table of sessions.
	maxSession = 64
	// maxTTL is the longest that a session lasts: a resident's line changes its address about as often.
	maxTTL = 24 * time.Hour
	// maxPlace bounds the name of a region or city in bytes.
	maxPlace = 64
)

// What of an exit a parameter decides.
const (
	setsCountry = "country"
	setsRegion  = "region"
	setsCity    = "city"
	setsASN     = "asn"
	setsSession = "session"
	setsHard    = "hard"
	setsTTL     = "ttl"
	setsIdle    = "idle"
	setsBound   = "bound"
)

// The classes of values that more than one grammar takes.

func country(word string) parameter {
	return parameter{
		word: word, takes: "one two-letter country code of ISO 3166-1, or eu", means: "country", sets: setsCountry, read: readCountry,
	}
}

func region(word string) parameter {
	return parameter{word: word, takes: "a region's name or ISO 3166-2 code in ASCII letters", means: "region", sets: setsRegion,
		read: func(r *reading, v string) bool { return readPlace(&r.Region, v) }}
}

func city(word string) parameter {
	return parameter{word: word, takes: "a city's name in ASCII letters", means: "city", sets: setsCity,
		read: func(r *reading, v string) bool { return readPlace(&r.City, v) }}
}

func asn(word string) parameter {
	return parameter{word: word, takes: "the number of an autonomous system, 1 to 4294967295", means: "ASN", sets: setsASN,
		read: func(r *reading, v string) bool {
			n, err := strconv.ParseUint(v, 10, 32)
			r.ASN = uint32(n)
			return err == nil && n > 0 && isNumber(v)
		}}
}

func session(word string) parameter {
	return parameter{word: word, takes: "1 to 64 letters, digits and underscores that are no parameter", means: "session", sets: setsSession,
		read: readSession}
}

// hardSession is a session that ends with its edge.
func hardSession(word string) parameter {
	p := session(word)
	p.means = "session and hard"
	p.read = func(r *reading, v string) bool {
		r.Hard = true
		return readSession(r, v)
	}
	return p
}

func hard(word string) parameter {
	return parameter{word: word, means: "hard", sets: setsHard, read: func(r *reading, _ string) bool { r.Hard = true; return true }}
}

// span is a time with its unit; minutes and seconds are numbers of them.
func span(word, sets string) parameter {
	return parameter{word: word, takes: "a time from 1s to 24h such as 30m: a number and s, m, h or d", means: sets, sets: sets,
		read: func(r *reading, v string) bool {
			units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
			unit := units[v[max(0, len(v)-1):]]
			return unit != 0 && readTime(r.time(sets), v[:len(v)-1], unit)
		}}
}

func minutes(word string, least, most int) parameter {
	return parameter{
		word: word, takes: "minutes from " + strconv.Itoa(least) + " to " + strconv.Itoa(most), means: "ttl", sets: setsTTL,
		read: func(r *reading, v string) bool {
			d := &r.TTL
			return readTime(d, v, time.Minute) && *d >= time.Duration(least)*time.Minute && *d <= time.Duration(most)*time.Minute
		},
	}
}

func seconds(word, sets string) parameter {
	return parameter{word: word, takes: "seconds from 1 to 86400", means: sets, sets: sets,
		read: func(r *reading, v string) bool { return readTime(r.time(sets), v, time.Second) }}
}

// only is a parameter of which one value asks for what is delivered anyway, and another for what is not.
func only(word, value, why string) parameter {
	return parameter{word: word, takes: value + ": " + why, means: "nothing: " + why, sets: word,
		read: func(_ *reading, v string) bool { return strings.EqualFold(v, value) }}
}

// ignored is a parameter that changes nothing of what is delivered.
func ignored(word, why string) parameter {
	return parameter{word: word, takes: "any word", means: "nothing: " + why, sets: word,
		read: func(_ *reading, v string) bool { return v != "" }}
}

func never(word, why string) parameter { return parameter{word: word, takes: "any word", never: why} }

// neverFlag is never for a word without a value.
func neverFlag(word, why string) parameter { return parameter{word: word, never: why} }

// time is the part of r that sets names.
func (r *reading) time(sets string) *time.Duration {
	if sets == setsIdle {
		return &r.Idle
	}
	return &r.TTL
}

func readCountry(r *reading, v string) bool {
	v = strings.ToLower(v)
	if v != "eu" && !isCountry(v) || r.Country != "" && r.Country != v {
		return false
	}
	r.Country = v
	return true
}

// readPlace takes new_york, new+york and newyork for one: what is compared is letters and digits in lower case.
func readPlace(to *string, v string) bool {
	if len(v) > maxPlace {
		return false
	}
	v = strings.NewReplacer("_", "", "+", "", " ", "").Replace(strings.ToLower(v))
	*to = v
	return v != "" && strings.Trim(v, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func readSession(r *reading, v string) bool {
	r.Session = v
	return v != "" && len(v) <= maxSession && strings.Trim(v, wordBytes) == ""
}

const wordBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// readTime takes a number of units, in all from one second to maxTTL.
func readTime(to *time.Duration, v string, unit time.Duration) bool {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || !isNumber(v) || n > uint64(math.MaxInt64/unit) {
		return false
	}
	*to = time.Duration(n) * unit
	return *to >= time.Second && *to <= maxTTL
}

// isNumber reports whether v is written as people write a number: without sign, and without zeros before it.
func isNumber(v string) bool {
	return v != "" && strings.Trim(v, "0123456789") == "" && (v == "0" || v[0] != '0')
}
