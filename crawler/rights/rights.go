// Package rights reads what a page and its site say about its use, and decides what may be done with it. It fetches
// nothing: headers, tags and the site's files are handed in.
//
// A statement keeps the words in which it was made, for a buyer's lawyer and for an auditor. Beside them stands one
// verdict in three words that every buyer of text knows: search, ai-input, ai-train, each allowed, denied or unknown, with
// the statement that decided (verdict.go). The dialects are read in a file each: usage.go (AIPREF and Content Signals),
// robots tags below, tdm.go (W3C TDMRep), rsl.go (Really Simple Licensing).
package rights

import (
	"net/http"
	"slices"
	"strings"

	"sward/crawler/text"
)

// Rights are what a page and its site say about its use, as they said it. Three things bind us beside the verdict: noindex
// keeps a page out of our index, nofollow its links out of the frontier, and a price is never paid unasked.
type Rights struct {
	MetaRobots     string   `json:"metaRobots,omitempty"`
	XRobotsTag     []string `json:"xRobotsTag,omitempty"`
	ContentUsage   []string `json:"contentUsage,omitempty"`   // draft-ietf-aipref-attach
	ContentSignal  []string `json:"contentSignal,omitempty"`  // contentsignals.org
	TDMReservation string   `json:"tdmReservation,omitempty"` // W3C TDMRep, EU DSM directive article 4
	TDMPolicy      string   `json:"tdmPolicy,omitempty"`
	MetaTDM        string   `json:"metaTdmReservation,omitempty"`
	MetaTDMPolicy  string   `json:"metaTdmPolicy,omitempty"`
	Licences       []string `json:"licences,omitempty"`     // RSL documents that the page names, in a header or a tag
	CrawlerPrice   string   `json:"crawlerPrice,omitempty"` // pay per crawl

	Site    Site    `json:"site,omitzero"`
	Verdict Verdict `json:"verdict"`
}

// Site is what the files of an origin say about one path on it.
type Site struct {
	Robots   []string  `json:"robots,omitempty"`   // Content-Usage, Content-Signal and License lines that are for us
	TDM      string    `json:"tdmrep,omitempty"`   // the rule of tdmrep.json that matched
	Licences []Licence `json:"licences,omitempty"` // RSL documents that robots.txt names
	AITxt    string    `json:"aiTxt,omitempty"`    // the beginning of ai.txt: recorded, not judged; two drafts share the name
}

const (
	maxValues = 16   // fields of one name
	maxValue  = 1024 // bytes of one field
	product   = "swardbot"
)

// Read collects what an answer, its page and its site say about the page at path (with its query), and judges it.
func Read(h http.Header, t text.Content, path string, site *Files) Rights {
	r := Rights{
		MetaRobots: t.Robots, XRobotsTag: fields(h, "X-Robots-Tag"),
		ContentUsage: fields(h, "Content-Usage"), ContentSignal: fields(h, "Content-Signal"),
		TDMReservation: strictest(fields(h, "TDM-Reservation")), TDMPolicy: field(h, "TDM-Policy"),
		MetaTDM: t.TDMReservation, MetaTDMPolicy: t.TDMPolicy,
		Licences: slices.Concat(linkedLicences(h), t.Licences), CrawlerPrice: field(h, "Crawler-Price"),
	}
	var say statements
	say.robotsTags(r)
	for _, line := range r.ContentUsage {
		say.usage("header Content-Usage: "+line, line)
	}
	for _, line := range r.ContentSignal {
		say.signal("header Content-Signal: "+line, line)
	}
	reserved := say.reservation(r)
	if site != nil {
		r.Site = site.say(&say, path, reserved)
	}
	r.Verdict = say.verdict()
	return r
}

// statements of a header that Read looks for.
var ruling = []string{"X-Robots-Tag", "Content-Usage", "Content-Signal", "TDM-Reservation", "TDM-Policy"}

// Both is a header with what another answer for the same page says of its use: whoever brought one of them may have left
// something out, and the most restrictive statement wins.
func Both(h, other http.Header) http.Header {
	h = h.Clone()
	for _, name := range ruling {
		for _, value := range other.Values(name) {
			if !slices.Contains(h.Values(name), value) {
				h.Add(name, value)
			}
		}
	}
	return h
}

func field(h http.Header, name string) string { return text.Line(h.Get(name), maxValue) }

func fields(h http.Header, name string) []string {
	list := h.Values(name)
	list = slices.Clone(list[:min(len(list), maxValues)])
	for i, v := range list {
		list[i] = text.Line(v, maxValue)
	}
	return list
}

// strictest is the value that reserves, where a server and what stands before it each send one, and else the first.
func strictest(values []string) string {
	if slices.Contains(values, "1") {
		return "1"
	}
	return strings.Join(values[:min(len(values), 1)], "")
}

// linkedLicences are the RSL documents of Link fields (RFC 8288), as written.
func linkedLicences(h http.Header) (list []string) {
	for _, line := range fields(h, "Link") {
		for one := range strings.SplitSeq(line, ",") {
			target, parameters, found := strings.Cut(strings.TrimSpace(one), ">")
			lower := strings.ToLower(strings.ReplaceAll(parameters, `"`, ""))
			if found && strings.HasPrefix(target, "<") && strings.Contains(lower, "rel=license") && strings.Contains(lower, "application/rsl+xml") {
				list = append(list, target[1:])
			}
		}
	}
	return list
}

// NoIndex and NoFollow read meta robots and X-Robots-Tag. "none" is both.
func (r Rights) NoIndex() bool  { return r.robots("noindex") != "" }
func (r Rights) NoFollow() bool { return r.robots("nofollow") != "" }

// NoArchive reports that no copy is to be kept for others.
func (r Rights) NoArchive() bool { return r.robots("noarchive") != "" }

// robots looks for a directive among those that are for everybody, and returns the line it stands in. A list that starts
// with another crawler's name ("googlebot: noindex") is not for us; ours is.
func (r Rights) robots(directive string) string {
	if speaks(r.MetaRobots, directive) {
		return "meta robots: " + r.MetaRobots
	}
	for _, line := range r.XRobotsTag {
		if speaks(line, directive) {
			return "header X-Robots-Tag: " + line
		}
	}
	return ""
}

func speaks(line, directive string) bool {
	for word := range strings.SplitSeq(strings.ToLower(line), ",") {
		word = strings.TrimSpace(word)
		agent, rest, named := strings.Cut(word, ":")
		if named && isAgent(agent) {
			if strings.TrimSpace(agent) != product {
				return false // and with it the words that follow on the line
			}
			word = strings.TrimSpace(rest)
		}
		if word == directive || word == "none" && (directive == "noindex" || directive == "nofollow") {
			return true
		}
	}
	return false
}

// isAgent tells a crawler's name from a directive with a value, and from the middle of a date: "unavailable_after: Wed, 3 Dec
// 2025 13:09:53 GMT" has a comma and colons of its own.
func isAgent(name string) bool {
	name = strings.TrimSpace(name)
	return name != "" && !strings.HasPrefix(name, "unavailable_after") && !strings.HasPrefix(name, "max-") && !strings.ContainsAny(name, " \t")
}

// robotsTags judges the directives. noai is a custom of image hosts that others took up: it speaks of models, whether they
// learn from a page or read it.
func (s *statements) robotsTags(r Rights) {
	if line := r.robots("noindex"); line != "" {
		s.add(Search, Deny, line)
	}
	if line := r.robots("noai"); line != "" {
		s.add(AITrain, Deny, line)
		s.add(AIInput, Deny, line)
	}
}
