package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sward/crawler/fetch"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/policy"
)

const (
	lineFile = "line.json"
	lineDays = 31 // of counts
	// reputationDays is over how many days the address is judged: providers change addresses, and sites forget.
	reputationDays = 7
	// reputationPages is from how many pages on there is a verdict: below it one page more or less would change it.
	reputationPages = 50
	// goodReputation and fairReputation are the shares of challenged pages up to which a reputation is good, or fair. They are
	// ours: a few sites turn every crawler away, however clean its address.
	goodReputation = 0.03
	fairReputation = 0.10
	// A target is slow to reach in steps of a quarter: the histogram's bounds grow so, from a millisecond to half a minute.
	reachStep  = 1.25
	reachSteps = 48
)

// The verdicts on an address.
const (
	ReputationUnknown = "unknown" // too few pages to tell
	ReputationGood    = "good"
	ReputationFair    = "fair"
	ReputationPoor    = "poor"
)

// Line is how good the owner's line is for the network: what it adds to each request, what it loses, and how sites take its
// address.
type Line struct {
	Relays     []RelayLine `json:"relays"`
	Today      LineDay     `json:"today"`
	Days       []LineDay   `json:"days"`       // newest first, today included
	Reputation string      `json:"reputation"` // unknown, good, fair, poor: of the last days' pages
	Challenged float64     `json:"challenged"` // the share of them that were challenged
	Pages      int         `json:"pages"`      // that this rests on
}

// RelayLine is the path to one relay, since its session began.
type RelayLine struct {
	Relay   identity.ID `json:"relay"`
	Region  string      `json:"region,omitempty"`
	Carrier string      `json:"carrier"`    // quic, tcp or overlay
	RTT     float64     `json:"rtt_ms"`     // smoothed round trip; 0: not measured
	MinRTT  float64     `json:"min_rtt_ms"` // the least; what RTT has more is a queue on the way
	Sent    uint64      `json:"sent"`       // packets to the relay; 0: the carrier does not tell
	Lost    uint64      `json:"lost"`       // of them
	Loss    float64     `json:"loss"`       // Lost / Sent
}

// LineDay is what was tried through the line on one day.
type LineDay struct {
	Day           string         `json:"day"`            // 2006-01-02
	Opened        int            `json:"opened"`         // connections to targets
	Failed        map[string]int `json:"failed"`         // and those that did not come about, by cause
	FailedRate    float64        `json:"failed_rate"`    // of all that were tried, but for names that do not exist
	Reach50       float64        `json:"reach_50_ms"`    // resolving and connecting took at most so long in half of all cases
	Reach90       float64        `json:"reach_90_ms"`    // and in nine of ten; both to a quarter
	Pages         int            `json:"pages"`          // crawled pages that were answered
	Challenges    map[string]int `json:"challenges"`     // of them, answers that distrust the address, by kind
	ChallengeRate float64        `json:"challenge_rate"` // of Pages
}

// outcomes counts what is tried through the line.
type outcomes struct {
	path  string
	clock func() time.Time

	mu    sync.Mutex
	days  map[string]*lineCounts
	dirty bool
}

// lineCounts are those of one day.
type lineCounts struct {
	Opened     int             `json:"opened"`
	Failed     map[string]int  `json:"failed"` // by code: a closed set
	Reach      [reachSteps]int `json:"reach"`  // openings by how long they took
	Pages      int             `json:"pages"`
	Challenges map[string]int  `json:"challenges"`
}

// openOutcomes reads what was remembered. A damaged file is forgotten: nothing depends on it.
func openOutcomes(dir string, clock func() time.Time) *outcomes {
	o := &outcomes{path: filepath.Join(dir, lineFile), clock: clock, days: map[string]*lineCounts{}}
	var days map[string]*lineCounts
	if data, err := readFile(o.path); err == nil && data != nil && json.Unmarshal(data, &days) == nil {
		for day, c := range days {
			if _, err := time.Parse(time.DateOnly, day); err == nil && c != nil {
				o.days[day] = c
			}
		}
	}
	return o
}

// todayLocked are today's counts.
func (o *outcomes) todayLocked() *lineCounts {
	o.dirty = true
	day := o.clock().Format(time.DateOnly)
	c := o.days[day]
	if c == nil {
		c = &lineCounts{}
		o.days[day] = c
		for _, old := range slices.Sorted(maps.Keys(o.days))[:max(0, len(o.days)-lineDays)] {
			delete(o.days, old)
		}
	}
	if c.Failed == nil {
		c.Failed = map[string]int{}
	}
	if c.Challenges == nil {
		c.Challenges = map[string]int{}
	}
	return c
}

// opened counts an attempt to reach a target. A refusal by rule says nothing of the line, nor does a partner that goes away.
func (o *outcomes) opened(took time.Duration, err error) {
	code := wire.CodeOf(err)
	if err != nil && code.Owner() != wire.OwnerTarget {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.todayLocked()
	if err != nil {
		c.Failed[code.Name()]++
		return
	}
	c.Opened++
	c.Reach[reachClass(took)]++
}

// reach is the dialer's open, and counts how it went.
func (e *Edge) reach(ctx context.Context, app policy.App, purpose policy.Purpose, target policy.Target) (net.Conn, error) {
	began := e.cfg.Clock()
	conn, err := e.dialer.open(ctx, app, purpose, target)
	if !errors.Is(ctx.Err(), context.Canceled) { // by a partner that goes away, or by the owner
		e.outcomes.opened(e.cfg.Clock().Sub(began), err)
	}
	return conn, err
}

// sawPage counts what a crawled page's answer says of the line.
func (e *Edge) sawPage(r fetch.Result) { e.outcomes.page(r) }

// reachClass is the class of the histogram in which a duration falls: class n is up to reachStep^n milliseconds.
func reachClass(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 1 {
		return 0
	}
	return min(int(math.Ceil(math.Log(ms)/math.Log(reachStep))), reachSteps-1)
}

// page counts a crawled page that was answered.
func (o *outcomes) page(r fetch.Result) {
	if r.Status == 0 {
		return
	}
	challenge := challengeOf(r)
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.todayLocked()
	c.Pages++
	if challenge != "" {
		c.Challenges[challenge]++
	}
}

// save writes the file if anything changed since it was written.
func (o *outcomes) save() error {
	o.mu.Lock()
	if !o.dirty {
		o.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(o.days)
	o.dirty = false
	o.mu.Unlock()
	if err != nil {
		return err
	}
	return writeFile(o.path, data)
}

// list are the days, newest first, today included.
func (o *outcomes) list() []LineDay {
	o.mu.Lock()
	defer o.mu.Unlock()
	today := o.clock().Format(time.DateOnly)
	names := slices.Collect(maps.Keys(o.days))
	if o.days[today] == nil {
		names = append(names, today)
	}
	slices.Sort(names)
	slices.Reverse(names)
	days := make([]LineDay, len(names))
	for i, day := range names {
		c := o.days[day]
		if c == nil {
			c = &lineCounts{}
		}
		d := LineDay{Day: day, Opened: c.Opened, Failed: map[string]int{}, Pages: c.Pages, Challenges: map[string]int{}}
		maps.Copy(d.Failed, c.Failed)
		maps.Copy(d.Challenges, c.Challenges)
		failed := sum(d.Failed) - d.Failed[wire.DNSNotFound.Name()]
		d.FailedRate = shareOf(failed, d.Opened+failed)
		d.ChallengeRate = shareOf(sum(d.Challenges), d.Pages)
		d.Reach50, d.Reach90 = c.quantile(0.5), c.quantile(0.9)
		days[i] = d
	}
	return days
}

// quantile is the bound in milliseconds below which the share q of all openings stayed; 0 without any.
func (c *lineCounts) quantile(q float64) float64 {
	want, n := q*float64(c.Opened), 0
	for i, of := range c.Reach {
		if n += of; of > 0 && float64(n) >= want {
			return math.Round(math.Pow(reachStep, float64(i)))
		}
	}
	return 0
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func shareOf(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Line says how good the owner's line is.
func (e *Edge) Line() Line {
	l := Line{Relays: []RelayLine{}, Days: []LineDay{}, Reputation: ReputationUnknown}
	if !e.isOpen() {
		return l
	}
	e.mu.Lock()
	links := slices.Collect(maps.Values(e.relays))
	e.mu.Unlock()
	for _, link := range links {
		if s := link.current(); s != nil {
			l.Relays = append(l.Relays, s.path(link.status().Region))
		}
	}
	slices.SortFunc(l.Relays, func(a, b RelayLine) int { return bytes.Compare(a.Relay[:], b.Relay[:]) })
	l.Days = e.outcomes.list()
	now := e.cfg.Clock()
	today, since := now.Format(time.DateOnly), now.AddDate(0, 0, 1-reputationDays).Format(time.DateOnly)
	challenged := 0
	for _, d := range l.Days {
		if d.Day == today {
			l.Today = d
		}
		if d.Day >= since {
			l.Pages += d.Pages
			challenged += sum(d.Challenges)
		}
	}
	l.Challenged = shareOf(challenged, l.Pages)
	l.Reputation = reputationOf(l.Challenged, l.Pages)
	return l
}

// reputationOf is the verdict on an address of whose pages such a share was challenged.
func reputationOf(challenged float64, pages int) string {
	switch {
	case pages < reputationPages:
		return ReputationUnknown
	case challenged <= goodReputation:
		return ReputationGood
	case challenged <= fairReputation:
		return ReputationFair
	}
	return ReputationPoor
}

// path is what the session's carrier has measured.
func (s *session) path(region string) RelayLine {
	m := s.tunnel.Stats()
	ms := func(d time.Duration) float64 {
		return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
	}
	return RelayLine{
		Relay: s.relay, Region: region, Carrier: s.tunnel.Carrier().String(), RTT: ms(m.RTT), MinRTT: ms(m.MinRTT),
		Sent: m.Sent, Lost: m.Lost, Loss: shareOf(int(min(m.Lost, m.Sent)), int(m.Sent)),
	}
}
