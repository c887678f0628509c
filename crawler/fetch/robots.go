package fetch

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"sward/crawler/link"
	"sward/internal/wire"
)

// Bounds of a robots.txt file.
const (
	maxRobots      = 500 << 10      // bytes that are parsed, the least that RFC 9309 §2.5 allows
	maxSitemaps    = 1000           // Sitemap lines kept
	maxStatedDelay = 24 * time.Hour // Crawl-delay as reported; what is waited is bounded by maxDelay
	ruleOverhead   = 128            // bytes a parsed line takes beside its text, roughly
)

const (
	robotsPath = "/robots.txt" // always allowed (RFC 9309 §2.2.2)
	anyAgent   = "*"           // names the group of everybody without one of their own
)

// Robots is a parsed robots.txt (RFC 9309). The zero Robots allows everything.
type Robots struct {
	Sitemaps []string // Sitemap lines in order, as written: they may be relative or hostile
	licences []string
	groups   []group // with rules
	notes    []group // with delay and signals
	size     int     // bytes of memory, roughly
}

// group is what a robots.txt says to the agents of consecutive User-agent lines. A
// record outside the standard must not end the run of agents for the rules (RFC 9309
// §2.2.4), but it does speak only to those named so far: so each User-agent line
// belongs to one group for the rules and to one for the other records.
type group struct {
	agents  []string // lower-case product tokens, or anyAgent
	rules   []rule
	delay   time.Duration
	signals []string
}

// rule is one Allow or Disallow line.
type rule struct {
	allow   bool
	pattern link.Pattern
	line    string // as written, for the record
}

// Verdict is the answer to one path. Rule is the line that decided, as written, at
// most wire.MaxRule bytes; it is empty when no line matched.
type Verdict struct {
	Allowed bool
	Rule    string
}

// Parse reads a robots.txt. There is no malformed file: lines that mean nothing are
// skipped, and all after the first 500 KiB is too.
func Parse(b []byte) *Robots {
	if len(b) > maxRobots {
		b = b[:maxRobots]
		// Half a line would be another rule: "Allow: /" cut from "Allow: /public".
		b = b[:bytes.LastIndexAny(b, "\r\n")+1]
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	p := robotsParser{robots: &Robots{size: len(b)}}
	for line := range strings.FieldsFuncSeq(string(b), func(r rune) bool { return r == '\n' || r == '\r' }) {
		p.line(line)
	}
	return p.robots
}

// robotsParser holds the place in the file.
type robotsParser struct {
	robots *Robots
	ruled  bool // rules have followed the last User-agent line
	noted  bool // rules or other records have
}

func (p *robotsParser) line(line string) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	key, value := splitRecord(line)
	switch robotsKeys[strings.ToLower(key)] {
	case keyUserAgent:
		p.agent(value)
	case keyAllow:
		p.rule(true, value, line)
	case keyDisallow:
		p.rule(false, value, line)
	case keySitemap:
		if len(p.robots.Sitemaps) < maxSitemaps && value != "" && len(value) <= wire.MaxURL {
			p.robots.Sitemaps = append(p.robots.Sitemaps, value)
		}
	case keyCrawlDelay:
		if g := last(p.robots.notes); g != nil {
			g.delay = max(g.delay, parseDelay(value))
			p.noted = true
		}
	case keySignal:
		if g := last(p.robots.notes); g != nil {
			g.signals = append(g.signals, clip(line))
			p.robots.size += ruleOverhead
			p.noted = true
		}
	case keyLicence:
		p.robots.licences = append(p.robots.licences, clip(line))
		p.robots.size += ruleOverhead
	}
}

func (p *robotsParser) agent(value string) {
	if p.ruled || len(p.robots.groups) == 0 {
		p.robots.groups = append(p.robots.groups, group{})
		p.ruled = false
	}
	if p.noted || len(p.robots.notes) == 0 {
		p.robots.notes = append(p.robots.notes, group{})
		p.noted = false
	}
	token := productToken(value)
	if value == anyAgent || strings.HasPrefix(value, "* ") || strings.HasPrefix(value, "*\t") {
		token = anyAgent
	}
	for _, g := range []*group{last(p.robots.groups), last(p.robots.notes)} {
		g.agents = append(g.agents, token)
	}
	p.robots.size += 2 * ruleOverhead
}

func (p *robotsParser) rule(allow bool, value, line string) {
	g := last(p.robots.groups)
	if g == nil {
		return // before the first User-agent line
	}
	p.ruled, p.noted = true, true
	if value == "" {
		return // "Disallow:" forbids nothing
	}
	g.rules = append(g.rules, rule{allow: allow, pattern: link.ParsePattern(value), line: clip(line)})
	p.robots.size += ruleOverhead
}

// last is the group in progress, nil before the first User-agent line.
func last(groups []group) *group {
	if len(groups) == 0 {
		return nil
	}
	return &groups[len(groups)-1]
}

// The records that are read. Site owners misspell them, and mean them: the variants
// are those that the large crawlers accept.
type robotsKey int

const (
	keyOther robotsKey = iota
	keyUserAgent
	keyAllow
	keyDisallow
	keySitemap
	keyCrawlDelay
	keySignal
	keyLicence
)

var robotsKeys = map[string]robotsKey{
	"user-agent": keyUserAgent, "useragent": keyUserAgent, "user agent": keyUserAgent,
	"allow":    keyAllow,
	"disallow": keyDisallow, "dissallow": keyDisallow, "dissalow": keyDisallow,
	"disalow": keyDisallow, "diasllow": keyDisallow, "disallaw": keyDisallow,
	"sitemap": keySitemap, "site-map": keySitemap,
	"crawl-delay": keyCrawlDelay, "crawldelay": keyCrawlDelay,
	"content-usage": keySignal, "content-signal": keySignal,
	"license": keyLicence,
}

// splitRecord cuts "key: value". A line without a colon is taken as two words.
func splitRecord(line string) (key, value string) {
	if key, value, ok := strings.Cut(line, ":"); ok {
		return strings.TrimSpace(key), strings.TrimSpace(value)
	}
	if words := strings.Fields(line); len(words) == 2 {
		return words[0], words[1]
	}
	return "", ""
}

// productToken is the name at the start of a User-Agent or of a User-agent line, in
// lower case: letters, "_" and "-" (RFC 9309 §2.2.1).
func productToken(agent string) string {
	end := strings.IndexFunc(agent, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	})
	if end < 0 {
		end = len(agent)
	}
	return strings.ToLower(agent[:end])
}

// parseDelay reads seconds, with or without a fraction. Nonsense is no delay.
func parseDelay(value string) time.Duration {
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, maxStatedDelay.Seconds()) * float64(time.Second))
}

// clip bounds a line that goes on the record.
func clip(line string) string {
	return strings.ToValidUTF8(line[:min(len(line), wire.MaxRule)], "")
}

// Test says whether agent, a User-Agent or a product token, may fetch path, which is
// a path with its query exactly as it would be sent. The longest matching pattern
// decides, and Allow wins a tie (RFC 9309 §2.2.2).
func (r *Robots) Test(agent, path string) Verdict {
	if path == "" {
		path = "/"
	}
	if path == robotsPath {
		return Verdict{Allowed: true}
	}
	path = link.CanonicalPath(path)
	best, decided := -1, Verdict{Allowed: true}
	for g := range r.groupsFor(agent, r.groups) {
		for _, rule := range g.rules {
			n := rule.pattern.Octets()
			if n < best || n == best && !rule.allow || !rule.pattern.Match(path) {
				continue
			}
			best, decided = n, Verdict{Allowed: rule.allow, Rule: rule.line}
		}
	}
	return decided
}

// Delay is the Crawl-delay for agent as the site states it, zero when it does not.
// It is no part of RFC 9309, but widely written and cheap to obey.
func (r *Robots) Delay(agent string) time.Duration {
	var d time.Duration
	for g := range r.groupsFor(agent, r.notes) {
		d = max(d, g.delay)
	}
	return d
}

// Signals are the lines that state terms of use for agent, as written: Content-Usage
// (draft-ietf-aipref-attach), Content-Signal, and the License of the whole site (RSL 1.0).
func (r *Robots) Signals(agent string) []string {
	lines := slices.Clone(r.licences)
	for g := range r.groupsFor(agent, r.notes) {
		lines = append(lines, g.signals...)
	}
	return lines
}

// groupsFor yields every group that names the agent, which count as one (§2.2.1), or
// else every group for any agent.
func (r *Robots) groupsFor(agent string, groups []group) iter.Seq[*group] {
	token := productToken(agent)
	if token == "" || !r.names(token) {
		token = anyAgent
	}
	return func(yield func(*group) bool) {
		for i := range groups {
			if groups[i].has(token) && !yield(&groups[i]) {
				return
			}
		}
	}
}

func (r *Robots) names(token string) bool {
	return slices.ContainsFunc(r.groups, func(g group) bool { return g.has(token) })
}

func (g *group) has(token string) bool { return slices.Contains(g.agents, token) }
