package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const minutesPerDay = 24 * 60

// span is minutes since midnight, from inclusive to exclusive.
type span struct{ from, to int }

// week holds the open spans of each weekday; a span never crosses midnight here.
type week [7][]span

// open reads t's wall clock in t's own location, so that "22:00" means 22:00 on both sides of a
// change to summer time.
func (w *week) open(t time.Time) bool {
	m := t.Hour()*60 + t.Minute()
	for _, s := range w[t.Weekday()] {
		if s.from <= m && m < s.to {
			return true
		}
	}
	return false
}

// parseHours reads the hours of Rules; none at all gives nil, which means always.
func parseHours(in map[string]string) (*week, error) {
	if len(in) == 0 {
		return nil, nil
	}
	for day := range in {
		if !slices.Contains(weekdays[:], day) {
			return nil, fmt.Errorf("hours: %.20q is not a weekday (%s)", day, strings.Join(weekdays[:], ", "))
		}
	}
	w := &week{}
	for d, day := range weekdays {
		ranges, ok := in[day]
		if !ok {
			continue
		}
		for r := range strings.SplitSeq(ranges, ",") {
			s, err := parseSpan(strings.TrimSpace(r))
			if err != nil {
				return nil, fmt.Errorf("hours.%s: %w", day, err)
			}
			if s.from < s.to {
				w[d] = append(w[d], s)
				continue
			}
			next := (d + 1) % len(w)
			w[d] = append(w[d], span{s.from, minutesPerDay})
			w[next] = append(w[next], span{0, s.to})
		}
	}
	return w, nil
}

func parseSpan(r string) (span, error) {
	from, to, ok := strings.Cut(r, "-")
	if !ok {
		return span{}, fmt.Errorf("%.20q is not a range such as 22:00-07:00", r)
	}
	f, err := parseMinute(from)
	if err != nil {
		return span{}, err
	}
	t, err := parseMinute(to)
	if err != nil {
		return span{}, err
	}
	if f == t || f == minutesPerDay {
		return span{}, fmt.Errorf("%.20q is an empty range", r)
	}
	return span{f, t}, nil
}

func parseMinute(s string) (int, error) {
	if s == "24:00" {
		return minutesPerDay, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, fmt.Errorf("%.20q is not a time from 00:00 to 24:00", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}
