package crawler

import (
	"database/sql"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds on sites that make up addresses (attack J05). link.IsTrap judges single addresses; these count. All are far from
// what a site of real pages has, since a page refused here is one that a partner does not get.
const (
	maxHostShare  = 10   // addresses of one host for each document asked for, half of what the job may queue …
	minHostShare  = 1000 // … and at least this many
	maxShapeShare = 4    // one part in so many of a job's documents may differ in a date or a token alone …
	minShapeShare = 1000 // … and at least this many: three years of days
	maxSubdomains = 1000 // hosts of one domain in one job: a wildcard in the DNS has no end
	futureYears   = 2    // that a calendar is followed into

	everyShape = ""  // counts all addresses of a host
	everyHost  = "*" // counts the hosts of a domain
)

// tallies are the counts that one discovery looks at, by host (or domain) and shape.
type tallies map[[2]string]*tally

type tally struct {
	n     int
	known bool // it has a row
}

// withoutTraps drops the leads that a job has had enough of.
func (t *tx) withoutTraps(j *job, links []lead, now time.Time) ([]lead, error) {
	seen := make(tallies)
	kept := links[:0:0]
	for _, l := range links {
		if l.kind == kindPage {
			full, err := t.full(j, &l, seen, now)
			if err != nil {
				return nil, err
			}
			if full {
				continue
			}
		}
		kept = append(kept, l)
	}
	return kept, nil
}

// full reports whether a bound is met that l would pass, and notes l's shape.
func (t *tx) full(j *job, l *lead, seen tallies, now time.Time) (bool, error) {
	shape, endless := shapeOf(l.url, now.Year()+futureYears)
	if endless {
		return true, nil
	}
	host, err := t.tally(j.id, l.host, everyShape, seen)
	if err != nil || host.n >= max(minHostShare, maxHostShare*j.quota) {
		return true, err
	}
	if !host.known {
		domain := domainOf(l.host)
		hosts, err := t.tally(j.id, domain, everyHost, seen)
		if err != nil || hosts.n >= maxSubdomains {
			return true, err
		}
		if err := errors.Join(t.count(j.id, domain, everyHost, 1), t.count(j.id, l.host, everyShape, 0)); err != nil {
			return true, err
		}
		hosts.n++
		host.known = true
	}
	host.n++
	if shape == "" {
		return false, nil
	}
	of, err := t.tally(j.id, l.host, shape, seen)
	if err != nil || of.n >= max(minShapeShare, j.quota/maxShapeShare) {
		return true, err
	}
	of.n++
	l.shape = shape
	return false, nil
}

func (t *tx) tally(job int64, host, shape string, seen tallies) (*tally, error) {
	at := [2]string{host, shape}
	if known := seen[at]; known != nil {
		return known, nil
	}
	c := &tally{}
	err := t.query("SELECT n FROM shapes WHERE job = ? AND host = ? AND shape = ?", job, host, shape).Scan(&c.n)
	if c.known = err == nil; err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	seen[at] = c
	return c, nil
}

func (t *tx) count(job int64, host, shape string, n int) error {
	_, err := t.do(`INSERT INTO shapes (job, host, shape, n) VALUES (?, ?, ?, ?)
		ON CONFLICT (job, host, shape) DO UPDATE SET n = shapes.n + excluded.n`, job, host, shape, n)
	return err
}

var (
	dateText    = regexp.MustCompile(`^([12]\d{3}|[3-9]\d{3})-?(0[1-9]|1[0-2])(?:-?[0-3]\d)?(?:\.\w{1,5})?$`) // 2031-05, 20310517.html
	yearText    = regexp.MustCompile(`^[1-9]\d{3}$`)
	numberText  = regexp.MustCompile(`^\d{1,2}(?:\.\w{1,5})?$`) // of a month, week or day
	dateName    = regexp.MustCompile(`(?i)^(?:.*[_-])?(?:year|month|week|day|date|cal\w*)$`)
	sessionName = regexp.MustCompile(`(?i)sess|sid$|token|nonce|ticket`)
	tokenText   = regexp.MustCompile(`^[0-9A-Za-z_-]{16,}$`)
)

// shapeOf is the form of an address which a program can fill in without end: one that closes with a date, as calendars do,
// and one with a token before its end or under a name of sessions. It is empty for all others. endless tells a date beyond
// the last year.
func shapeOf(address string, lastYear int) (shape string, endless bool) {
	u, err := url.Parse(address)
	if err != nil {
		return "", false
	}
	marked, year := false, 0
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	last := len(segments) - 1
	for i, text := range segments {
		switch {
		case i < last && isToken(text):
			segments[i], marked = "*", true
		case i == last && dateText.MatchString(text):
			year, _ = strconv.Atoi(text[:4])
			segments[i], marked = "#", true
		case i < last && i >= last-2 && yearText.MatchString(text) && !slices.ContainsFunc(segments[i+1:], notNumber):
			year, _ = strconv.Atoi(text)
			segments, marked = append(segments[:i:i], "#"), true
		}
		if marked && segments[len(segments)-1] == "#" {
			break
		}
	}
	query := u.Query()
	for name, values := range query {
		for _, text := range values {
			number, err := strconv.Atoi(text)
			switch {
			case dateText.MatchString(text):
				number, _ = strconv.Atoi(text[:4])
				year, marked = max(year, number), true
			case dateName.MatchString(name) && err == nil:
				marked = true
				if yearText.MatchString(text) {
					year = max(year, number)
				}
			case sessionName.MatchString(name) && isToken(text):
				marked = true
			}
		}
	}
	if !marked {
		return "", false
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	return "/" + strings.Join(segments, "/") + "?" + strings.Join(names, "&"), year > lastYear
}

func notNumber(text string) bool { return !numberText.MatchString(text) }

// minTurns is how often letters and digits change in a token; in words with a number behind them they do once.
const minTurns = 4

// isToken tells what a program drew by lot from what somebody wrote.
func isToken(text string) bool {
	if !tokenText.MatchString(text) {
		return false
	}
	turns, digit := 0, false
	for i := range len(text) {
		is := text[i] >= '0' && text[i] <= '9'
		if i > 0 && is != digit {
			turns++
		}
		digit = is
	}
	return turns >= minTurns
}
