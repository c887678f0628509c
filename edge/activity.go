package edge

import (
	"cmp"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"sward/policy"
)

const (
	activityFile = "activity.json"
	activityDays = 31  // days kept
	maxSites     = 100 // sites told apart per day; the rest is added up under otherSites
	otherSites   = "other sites"
)

// Use is what went to one site on one day. It stays on the owner's machine and answers "what went through my
// connection?" without saying which pages.
type Use struct {
	Site    string         `json:"site"` // registrable domain, or "addresses"
	Streams int            `json:"streams"`
	Up      int64          `json:"up"`
	Down    int64          `json:"down"`
	For     map[string]int `json:"for"` // purpose → streams
}

// activity adds up uses by day and site.
type activity struct {
	path string

	mu    sync.Mutex
	days  map[string]map[string]*Use
	dirty bool
}

// openActivity reads the past days. A damaged file is forgotten: nothing depends on it.
func openActivity(dir string) *activity {
	a := &activity{path: filepath.Join(dir, activityFile), days: map[string]map[string]*Use{}}
	if data, err := readFile(a.path); err == nil && data != nil {
		if json.Unmarshal(data, &a.days) != nil || a.days == nil {
			a.days = map[string]map[string]*Use{}
		}
	}
	return a
}

// add counts one ended stream.
func (a *activity) add(now time.Time, host policy.Host, purpose policy.Purpose, up, down int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	day := now.Format(time.DateOnly)
	sites := a.days[day]
	if sites == nil {
		sites = map[string]*Use{}
		a.days[day] = sites
		for _, old := range slices.Sorted(maps.Keys(a.days))[:max(0, len(a.days)-activityDays)] {
			delete(a.days, old)
		}
	}
	site := siteOf(host)
	if sites[site] == nil && len(sites) >= maxSites {
		site = otherSites
	}
	u := sites[site]
	if u == nil {
		u = &Use{Site: site, For: map[string]int{}}
		sites[site] = u
	}
	u.Streams++
	u.Up += up
	u.Down += down
	u.For[string(purpose)]++
	a.dirty = true
}

// day returns the uses of one day, most bytes first.
func (a *activity) day(day string) []Use {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Use, 0, len(a.days[day]))
	for _, u := range a.days[day] {
		c := *u
		c.For = maps.Clone(u.For)
		out = append(out, c)
	}
	slices.SortFunc(out, func(x, y Use) int {
		return cmp.Or(cmp.Compare(y.Up+y.Down, x.Up+x.Down), strings.Compare(x.Site, y.Site))
	})
	return out
}

// save writes the file if anything changed since it was written.
func (a *activity) save() error {
	a.mu.Lock()
	if !a.dirty {
		a.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(a.days)
	a.dirty = false
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return writeFile(a.path, data)
}

func siteOf(h policy.Host) string {
	if h.Name() == "" {
		return "addresses"
	}
	site, err := publicsuffix.EffectiveTLDPlusOne(h.Name())
	if err != nil {
		return h.Name()
	}
	return site
}
