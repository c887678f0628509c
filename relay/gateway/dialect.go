package gateway

import (
	"strconv"
	"strings"
	"time"

	"sward/internal/wire"
)

// A login says who asks and, behind the name or the key, which exit is asked for. Every network of this trade has a
// grammar of its own for that, written into its customers' programs. The door reads them all, so that a buyer changes
// the host and nothing else. Which grammar a login is in, its shape says alone, in this order:
//
//	user begins with brd-customer-, lum-customer-   Bright Data
//	user begins with customer-                      Oxylabs
//	user begins with package-                       SOAX
//	user is a name and __                           DataImpulse
//	key holds _WORD-, WORD of letters               IPRoyal
//	the first parameter in user is res              NetNut
//	anything else                                   Sward, which Geonode's and Illusory's are a part of
//
// The shapes cannot be mistaken for each other, because wire.CheckPartnerName keeps them out of names, and a key as the
// hub makes it holds no hyphen. What a grammar asks for and a relay cannot do is refused by name: an exit in another city
// than the one that was paid for is worse than none.

// login is a credential and what it asks for.
type login struct {
	Name, Key string
	Dialect   string // the grammar's name
	Exit      Exit
}

const (
	// maxLogin bounds a user name and a key, in bytes each, as RFC 1929 does for SOCKS.
	maxLogin = 255
	// maxNamed is the longest unknown word that a refusal repeats. What is longer, or is not a plain word, may be a piece
	// of a key.
	maxNamed = 16
)

// parseLogin reads a user name and a password in whichever grammar they are.
func parseLogin(user, pass string) (login, error) {
	if len(user) > maxLogin || len(pass) > maxLogin {
		return login{}, wire.Errorf(wire.BadParameter, "a user name and a password have at most %d bytes", maxLogin)
	}
	key, inKey := cutKey(pass)
	g, name, params := cutUser(user)
	switch {
	case inKey != nil && len(params) > 0:
		return login{}, wire.Errorf(wire.BadParameter, "parameters stand in the user name and in the password: one of them")
	case inKey != nil:
		g, params = &iproyal, inKey
	}
	if key == "" || wire.CheckPartnerName(name) != nil {
		return login{}, wire.Errorf(wire.AuthFailed, "the name or the key is missing, or is none that an account has")
	}
	exit, err := g.read(params)
	if err != nil {
		return login{}, err
	}
	return login{Name: name, Key: key, Dialect: g.name, Exit: exit}, nil
}

// setting is one parameter as it was written.
type setting struct {
	word, value string
	valued      bool // there was a value, though it may be empty
}

// cutUser finds the grammar of a user name, the name, and its parameters.
func cutUser(user string) (*grammar, string, []setting) {
	prefix := wire.LoginPrefix(user)
	// A session may hold underscores too: they count only behind a name.
	if name, list, ok := strings.Cut(user, "__"); ok && prefix == "" && wire.CheckPartnerName(name) == nil {
		return &dataImpulse, name, cutList(list, ";", ".")
	}
	parts := strings.Split(user[len(prefix):], "-")
	n := 0
	for n < len(parts) && !wire.LoginWord(parts[n]) {
		n++
	}
	name := strings.Join(parts[:n], "-")
	g := grammarOf(prefix)
	if prefix == "" && n < len(parts) && strings.EqualFold(parts[n], "res") {
		g = &netNut
	}
	return g, name, g.pair(parts[n:])
}

// cutKey finds where a key ends and IPRoyal's parameters begin; without any, params is nil.
func cutKey(pass string) (key string, params []setting) {
	for at := 0; ; {
		i := strings.IndexByte(pass[at:], '_')
		if i < 0 {
			return pass, nil
		}
		rest := pass[at+i+1:]
		if end := strings.IndexFunc(rest, notLetter); end > 0 && rest[end] == '-' {
			return pass[:at+i], cutList(rest, "_", "-")
		}
		at += i + 1
	}
}

func notLetter(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }

// cutList splits parameters that carry their values with them.
func cutList(list, between, within string) []setting {
	var params []setting
	for part := range strings.SplitSeq(list, between) {
		word, value, valued := strings.Cut(part, within)
		params = append(params, setting{word, value, valued})
	}
	return params
}

// grammar is one network's way to write a login.
type grammar struct {
	name       string // in logs, tests and the manual
	title      string // for people
	params     []parameter
	ttl, idle  time.Duration         // of a session that names none; 0 is Sward's default
	afterwards func(*reading) string // what the parameters say only together: the one that is wrong, or nothing
}

// parameter is one word of a grammar.
type parameter struct {
	word  string
	takes string // the class of its values, for refusals and the manual; empty for a word without a value
	means string // for the manual
	never string // why it cannot be honoured; empty when it can

	sets string                          // what of an exit it decides: two parameters may not decide the same
	read func(r *reading, v string) bool // false for a value that is not of the class; nil when nothing is decided
}

// reading is an exit while its parameters are read.
type reading struct {
	Exit
	bound   time.Duration // how long a session waits for an edge that has left (SOAX)
	isBound bool
}

// pair takes words and their values in turn from what stood between hyphens.
func (g *grammar) pair(parts []string) []setting {
	var params []setting
	for i := 0; i < len(parts); i++ {
		s := setting{word: parts[i]}
		if p := g.find(s.word); p == nil || p.takes != "" {
			if i++; i < len(parts) {
				s.value, s.valued = parts[i], true
			}
		}
		params = append(params, s)
	}
	return params
}

// find is case-blind: some libraries write CC-DE.
func (g *grammar) find(word string) *parameter {
	for i := range g.params {
		if strings.EqualFold(g.params[i].word, word) {
			return &g.params[i]
		}
	}
	return nil
}

// read makes an exit of parameters.
func (g *grammar) read(params []setting) (Exit, error) {
	var r reading
	decided := map[string]string{}
	for i, s := range params {
		p := g.find(s.word)
		if p == nil {
			return Exit{}, g.refuse("%s is unknown", nameable(s.word, i))
		}
		if p.never != "" {
			return Exit{}, g.refuse("%s cannot be honoured: %s", p.word, p.never)
		}
		if before, twice := decided[p.sets]; twice {
			if before == p.word {
				return Exit{}, g.refuse("%s stands twice", p.word)
			}
			return Exit{}, g.refuse("%s and %s say the same", before, p.word)
		}
		decided[p.sets] = p.word
		if s.valued != (p.takes != "") || p.sets == setsSession && g.find(s.value) != nil || p.read != nil && !p.read(&r, s.value) {
			return Exit{}, g.refuse("%s takes %s", p.word, orNothing(p.takes))
		}
	}
	for _, needs := range []string{setsHard, setsTTL, setsIdle, setsBound} {
		if word, ok := decided[needs]; ok && r.Session == "" {
			return Exit{}, g.refuse("%s needs a session", word)
		}
	}
	if g.afterwards != nil {
		if wrong := g.afterwards(&r); wrong != "" {
			return Exit{}, g.refuse("%s", wrong)
		}
	}
	if r.Session != "" {
		r.TTL, r.Idle = orDefault(r.TTL, g.ttl), orDefault(r.Idle, g.idle)
	}
	return r.Exit, nil
}

// refuse names what is wrong and the grammar that it is wrong in.
func (g *grammar) refuse(format string, a ...any) error {
	e := wire.Errorf(wire.BadParameter, format, a...)
	e.Detail += " (grammar: " + g.title + ")"
	return e
}

// nameable is an unknown word as a refusal may say it.
func nameable(word string, at int) string {
	if word != "" && len(word) <= maxNamed && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") == "" {
		return word
	}
	return "parameter " + strconv.Itoa(at+1)
}

func orNothing(takes string) string {
	if takes == "" {
		return "no value"
	}
	return takes
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// user is the login's user name in Sward's own grammar: the same account and the same exit.
func (l login) user() string {
	b := new(strings.Builder)
	b.WriteString(l.Name)
	add := func(word, value string) {
		if value != "" {
			b.WriteString("-" + word + "-" + value)
		}
	}
	seconds := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	e := l.Exit
	add("country", e.Country)
	add("region", e.Region)
	add("city", e.City)
	if e.ASN != 0 {
		add("asn", strconv.FormatUint(uint64(e.ASN), 10))
	}
	add("session", e.Session)
	add("ttl", seconds(e.TTL))
	add("idle", seconds(e.Idle))
	if e.Hard {
		b.WriteString("-hard")
	}
	return b.String()
}
