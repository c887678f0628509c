package rights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"sward/crawler/link"
)

const maxTDMRules = 1000 // of one tdmrep.json

// A TDMRule is one object of tdmrep.json (W3C TDMRep, final report of 10 May 2024, §5.1).
type TDMRule struct {
	Location    string
	Reservation int
	Policy      string
}

// ParseTDM reads a tdmrep.json. Rules that break the form are left out, as the report asks: what is said wrongly is not
// said. Reservation may be a number or, as many write it, a string.
func ParseTDM(b []byte) ([]TDMRule, error) {
	var raw []struct {
		Location    string `json:"location"`
		Reservation any    `json:"tdm-reservation"`
		Policy      string `json:"tdm-policy"`
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) // editors put it there, and JSON does not have it
	if err := json.Unmarshal(b, &raw); err != nil {
		if _, other := errors.AsType[*json.UnmarshalTypeError](err); !other {
			return nil, fmt.Errorf("read tdmrep.json: %w", err)
		}
	}
	var rules []TDMRule
	for _, r := range raw[:min(len(raw), maxTDMRules)] {
		if r.Location == "" {
			continue
		}
		switch fmt.Sprint(r.Reservation) {
		case "0":
			rules = append(rules, TDMRule{r.Location, 0, r.Policy})
		case "1":
			rules = append(rules, TDMRule{r.Location, 1, r.Policy})
		}
	}
	return rules, nil
}

// String is the rule as a document shows it.
func (r TDMRule) String() string {
	s := fmt.Sprintf("%s tdm-reservation=%d", r.Location, r.Reservation)
	if r.Policy != "" {
		s += " tdm-policy=" + r.Policy
	}
	return s
}

// matchTDM finds the rule for a path: the first in the file.
func matchTDM(rules []TDMRule, path string) (TDMRule, bool) {
	path = link.CanonicalPath(path)
	for _, r := range rules {
		if link.ParsePattern(r.Location).Match(path) {
			return r, true
		}
	}
	return TDMRule{}, false
}

// reservation judges header and tag, and reports whether they say anything: then the file of the site, which is the less
// specific of the three, is not asked.
func (s *statements) reservation(r Rights) bool {
	said := false
	for _, one := range [][2]string{{"header TDM-Reservation: ", r.TDMReservation}, {"meta tdm-reservation: ", r.MetaTDM}} {
		said = s.mining(one[0]+one[1], one[1]) || said
	}
	return said
}

// mining judges a value. Mining is any automated analysis (directive (EU) 2019/790, article 2): a model that learns from a
// text does it, and one that reads it for an answer. An index that leads to the page is held to robots and noindex.
func (s *statements) mining(signal, value string) bool {
	answer := Deny
	switch value {
	case "0":
		answer = Allow
	case "1":
	default:
		return false
	}
	s.add(AITrain, answer, signal)
	s.add(AIInput, answer, signal)
	return true
}
