package rights

import (
	"strings"

	"sward/crawler/link"
)

// usageLabels are the categories of draft-ietf-aipref-vocab, and those of its earlier editions that sites still publish.
// A category that holds others is nil: it speaks for each use that the statement does not name.
var usageLabels = map[string][]Use{
	"search":   {Search},
	"train-ai": {AITrain}, "train-genai": {AITrain},
	"ai-use": {AIInput}, "ai-output": {AIInput}, "ai-inference": {AIInput},
	"bots": nil, "all": nil, "tdm": nil,
}

// signalLabels are those of contentsignals.org. Its "use" (immediate, reference, full) says how, not whether.
var signalLabels = map[string][]Use{"search": {Search}, "ai-input": {AIInput}, "ai-train": {AITrain}}

// usage reads a preference expression of AIPREF: a dictionary of y and n.
func (s *statements) usage(signal, expression string) {
	s.dictionary(signal, expression, usageLabels, "y", "n")
}

// signal reads Content Signals: the same with yes and no.
func (s *statements) signal(signal, expression string) {
	s.dictionary(signal, expression, signalLabels, "yes", "no")
}

// dictionary reads name=value pairs. RFC 9651 would have a malformed list ignored as a whole; a site that mistypes one name
// still means the others, so each pair counts for itself.
func (s *statements) dictionary(signal, expression string, labels map[string][]Use, yes, no string) {
	var general Answer
	said := map[Use]bool{}
	for pair := range strings.SplitSeq(strings.ToLower(expression), ",") {
		pair, _, _ = strings.Cut(pair, ";") // parameters of a structured field
		key, value, _ := strings.Cut(pair, "=")
		list, known := labels[strings.TrimSpace(key)]
		var answer Answer
		switch strings.TrimSpace(value) {
		case yes:
			answer = Allow
		case no:
			answer = Deny
		}
		if !known || answer == "" {
			continue
		}
		if list == nil && general != Deny {
			general = answer
		}
		for _, u := range list {
			s.add(u, answer, signal)
			said[u] = true
		}
	}
	if general == "" {
		return
	}
	for _, u := range uses {
		if !said[u] {
			s.add(u, general, signal)
		}
	}
}

// robotsTxt reads the lines of one robots.txt that are for us. Those with a path count where they match, and of these the
// most specific (draft-ietf-aipref-attach §3.1); a line without one is for the whole site.
func (s *statements) robotsTxt(lines []string, path string) {
	path = link.CanonicalPath(path)
	for _, dialect := range []struct {
		key  string
		read func(signal, expression string)
	}{{"content-usage", s.usage}, {"content-signal", s.signal}} {
		best := -1
		var chosen [][2]string // line, expression
		for _, line := range lines {
			key, value, _ := strings.Cut(line, ":")
			if !strings.EqualFold(strings.TrimSpace(key), dialect.key) {
				continue
			}
			value = strings.TrimSpace(value)
			octets := 0
			if strings.HasPrefix(value, "/") {
				end := strings.IndexAny(value, " \t")
				if end < 0 {
					continue // a path, and nothing said of it
				}
				pattern := link.ParsePattern(value[:end])
				if !pattern.Match(path) {
					continue
				}
				octets, value = pattern.Octets(), value[end:]
			}
			if octets > best {
				best, chosen = octets, nil
			}
			if octets == best {
				chosen = append(chosen, [2]string{line, value})
			}
		}
		for _, c := range chosen {
			dialect.read("robots.txt "+c[0], c[1])
		}
	}
}
