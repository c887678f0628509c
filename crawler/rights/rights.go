// Package rights reads what a page and its site say about its use, and decides what may be done with it. It fetches
// nothing: robots.txt, headers and tags are handed in.
package rights

import (
	"net/http"
	"slices"
	"strings"

	"sward/crawler/text"
)

// Rights are what a page and its server say about its use, as they said it, for the partner to judge
// and for an auditor to read. Three of them bind us: noindex keeps a page out of our index, nofollow
// its links out of the frontier, and an opt-out from training ends the page for partners whose
// purpose is training. Where statements conflict the most restrictive one wins.
type Rights struct {
	MetaRobots     string   `json:"metaRobots,omitempty"`
	XRobotsTag     []string `json:"xRobotsTag,omitempty"`
	ContentUsage   []string `json:"contentUsage,omitempty"`   // draft-ietf-aipref-attach
	ContentSignal  []string `json:"contentSignal,omitempty"`  // contentsignals.org
	TDMReservation string   `json:"tdmReservation,omitempty"` // W3C TDMRep, EU DSM directive article 4
	TDMPolicy      string   `json:"tdmPolicy,omitempty"`
	CrawlerPrice   string   `json:"crawlerPrice,omitempty"` // HTTP 402 pay per crawl; never paid unasked
}

const (
	maxRightsValues = 16   // fields of one name
	maxRightsValue  = 1024 // bytes of one field
	purposeTraining = "ai-training"
)

func Read(h http.Header, metaRobots string) Rights {
	values := func(name string) []string {
		list := h.Values(name)
		list = slices.Clone(list[:min(len(list), maxRightsValues)])
		for i, v := range list {
			list[i] = text.Line(v, maxRightsValue)
		}
		return list
	}
	first := func(name string) string { return text.Line(h.Get(name), maxRightsValue) }
	return Rights{
		MetaRobots: metaRobots, XRobotsTag: values("X-Robots-Tag"),
		ContentUsage: values("Content-Usage"), ContentSignal: values("Content-Signal"),
		TDMReservation: first("TDM-Reservation"), TDMPolicy: first("TDM-Policy"),
		CrawlerPrice: first("Crawler-Price"),
	}
}

// NoIndex and NoFollow read meta robots and X-Robots-Tag. "none" is both.
func (r Rights) NoIndex() bool  { return r.robots("noindex") }
func (r Rights) NoFollow() bool { return r.robots("nofollow") }

// robots looks for a directive among those that are for everybody. A list that starts with another
// crawler's name ("googlebot: noindex") is not for us; ours is.
func (r Rights) robots(directive string) bool {
	for _, line := range append([]string{r.MetaRobots}, r.XRobotsTag...) {
		for word := range strings.SplitSeq(strings.ToLower(line), ",") {
			word = strings.TrimSpace(word)
			if agent, rest, named := strings.Cut(word, ":"); named && !strings.HasPrefix(agent, "unavailable_after") && !strings.HasPrefix(agent, "max-") {
				if strings.TrimSpace(agent) != "swardbot" {
					break // and with it the words that follow on the line
				}
				word = strings.TrimSpace(rest)
			}
			if word == directive || word == "none" && (directive == "noindex" || directive == "nofollow") {
				return true
			}
		}
	}
	return false
}

// Forbids reports whether the page may not be used for a purpose.
func (r Rights) Forbids(purpose string) bool {
	if purpose != purposeTraining {
		return false
	}
	return r.robots("noai") || r.TDMReservation == "1" ||
		saysNo(r.ContentUsage, "train-ai", "n") || saysNo(r.ContentSignal, "ai-train", "no")
}

// saysNo looks for name=no in lists of name=value.
func saysNo(lines []string, name, no string) bool {
	for _, line := range lines {
		for pair := range strings.SplitSeq(strings.ToLower(line), ",") {
			key, value, _ := strings.Cut(pair, "=")
			if strings.TrimSpace(key) == name && strings.TrimSpace(value) == no {
				return true
			}
		}
	}
	return false
}
