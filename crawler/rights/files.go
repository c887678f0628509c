package rights

import (
	"slices"
	"strconv"
	"strings"

	"sward/crawler/text"
)

// maxRobotsLines bounds the lines of terms that one document repeats.
const maxRobotsLines = 32

// Files is what an origin's own files say, for all of its paths. A file that differed between two looks is there twice.
type Files struct {
	Origin   string     // scheme, host and port
	Robots   [][]string // for each robots.txt seen: its lines of terms that are for us
	TDM      [][]TDMRule
	Licences []Licence
	AITxt    string
}

// say judges the files for one path, and returns what a document shows of them.
func (f *Files) say(s *statements, path string, reserved bool) Site {
	var site Site
	for _, lines := range f.Robots {
		s.robotsTxt(lines, path)
		for _, line := range lines {
			if line = text.Line(line, maxValue); len(site.Robots) < maxRobotsLines && !slices.Contains(site.Robots, line) {
				site.Robots = append(site.Robots, line)
			}
		}
	}
	for _, rules := range f.TDM {
		rule, found := matchTDM(rules, path)
		if !found {
			continue
		}
		if site.TDM == "" || rule.Reservation == 1 {
			site.TDM = text.Line(rule.String(), maxValue)
		}
		if !reserved {
			s.mining("tdmrep.json "+site.TDM, strconv.Itoa(rule.Reservation))
		}
	}
	for _, l := range f.Licences {
		if l.judge(s, f.Origin, path) {
			site.Licences = append(site.Licences, l)
		}
	}
	site.AITxt = strings.ToValidUTF8(f.AITxt, "")
	return site
}
