package edge

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sward/internal/wire"
	"sward/policy"
)

const (
	maxRefusals  = 100 // kept for the owner to read
	refusalsFile = "refusals.json"
	refusalDays  = 31 // days of counts
)

// Refusal is one request that the edge turned down. It says what kind of target it was and not which one: the
// owner learns that rules work without a list of where strangers wanted to go.
type Refusal struct {
	Time time.Time `json:"time"`
	Rule string    `json:"rule"`
	App  string    `json:"app"`
	Host string    `json:"host"` // class: "IPv4", "IPv6", "name under .com", "none"
}

// refusals remembers the last refusals and counts them by day and rule.
type refusals struct {
	path string

	mu    sync.Mutex
	last  []Refusal                 // oldest first, at most maxRefusals
	days  map[string]map[string]int // day → rule → refusals
	dirty bool
}

type refusalsState struct {
	Last []Refusal                 `json:"last"`
	Days map[string]map[string]int `json:"days"`
}

// openRefusals reads what was remembered. A damaged file is forgotten: nothing depends on it.
func openRefusals(dir string) *refusals {
	r := &refusals{path: filepath.Join(dir, refusalsFile), days: map[string]map[string]int{}}
	var s refusalsState
	if data, err := readFile(r.path); err == nil && data != nil && json.Unmarshal(data, &s) == nil {
		r.last = s.Last[max(0, len(s.Last)-maxRefusals):]
		if s.Days != nil {
			r.days = s.Days
		}
	}
	return r
}

func (r *refusals) add(now time.Time, app wire.App, host string, code wire.Code) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rule, day := code.Name(), now.Format(time.DateOnly)
	r.last = append(r.last, Refusal{Time: now, Rule: rule, App: app.String(), Host: hostClass(host)})
	if n := len(r.last); n > maxRefusals {
		r.last = slices.Clone(r.last[n-maxRefusals:])
	}
	if r.days[day] == nil {
		r.days[day] = map[string]int{}
		for _, old := range slices.Sorted(maps.Keys(r.days))[:max(0, len(r.days)-refusalDays)] {
			delete(r.days, old)
		}
	}
	r.days[day][rule]++
	r.dirty = true
}

// recent returns the last refusals, newest first, and today's counts by rule.
func (r *refusals) recent(today string) ([]Refusal, map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := slices.Clone(r.last)
	slices.Reverse(last)
	return last, maps.Clone(r.days[today])
}

// byDay are the counts of each day by rule.
func (r *refusals) byDay() map[string]map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]map[string]int, len(r.days))
	for day, rules := range r.days {
		all[day] = maps.Clone(rules)
	}
	return all
}

// save writes the file if anything changed since it was written.
func (r *refusals) save() error {
	r.mu.Lock()
	if !r.dirty {
		r.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(refusalsState{Last: r.last, Days: r.days})
	r.dirty = false
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return writeFile(r.path, data)
}

// hostClass tells the kind of a host as a peer wrote it, without telling the host.
func hostClass(host string) string {
	if host == "" {
		return "none"
	}
	h, err := policy.ParseHost(host)
	if err != nil {
		return "not a public host"
	}
	if a, ok := h.Addr(); ok {
		if a.Is4() {
			return "IPv4"
		}
		return "IPv6"
	}
	return "name under " + h.Name()[strings.LastIndexByte(h.Name(), '.'):]
}
