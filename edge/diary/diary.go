// Package diary answers "what left my line?": which sites were visited through it, of which category, for whose purpose,
// by which app, with how many bytes. It never holds a page, a URL or a content.
//
// A day is two files. The one in days/ has a record for each line of the day, the one in keys/ the key that opens them.
// Each record is sealed by itself and has the same size, so that a torn write or a damaged block costs that record, and
// the length of a record tells nothing of the site. To forget a day is to throw its key away: a copy of days/ that went
// elsewhere, in a backup, is then noise. Who may read both directories reads the diary: the key protects what was
// forgotten and what was copied without it, not an open machine.
//
// The day is the file, too: where another program (the command log --forget) has removed the key, a running edge drops
// what it still has of that day instead of writing it again.
package diary

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"sward/policy"
)

const (
	// DefaultKeep is how many days an owner can look back who said nothing else: what a month's bill can be checked
	// against. MaxKeep is a year: a record of strangers' visits is not an archive.
	DefaultKeep = 30
	MaxKeep     = 366

	// maxLines bounds a day: what comes after it is added up under OtherSites. A home lends itself for some hundreds of
	// sites a day.
	maxLines = 1000

	// OtherSites stands for the sites beyond maxLines, Addresses for targets without a name.
	OtherSites = "other sites"
	Addresses  = "addresses"
)

// Line is what went to one site on one day for one purpose through one app.
type Line struct {
	Day      string         `json:"day"`      // 2006-01-02, in the owner's time zone
	Site     string         `json:"site"`     // registrable domain, Addresses or OtherSites
	Category string         `json:"category"` // the list that the site is on, or "other"
	Purpose  policy.Purpose `json:"purpose"`  // the partner's, as vetted by the hub
	App      policy.App     `json:"app"`
	Streams  int64          `json:"streams"`
	Up       int64          `json:"up"`   // bytes to the site
	Down     int64          `json:"down"` // bytes from it
}

// key is what makes two uses one line.
type key struct {
	site, category string
	purpose        policy.Purpose
	app            policy.App
}

// Diary is a store. Its today is in memory, and every day on disk.
type Diary struct {
	dir   string
	clock func() time.Time

	disk sync.Mutex // one writer to the files; taken before mu

	mu    sync.Mutex
	keep  int
	today string // the day of lines
	lines map[key]*Line
	dirty map[key]bool // changed since they were written
	known bool         // today's key is on disk
}

// Open reads what dir has of today and removes the days that are older than keep days, today counted. A keep of 0 keeps
// nothing: nothing is written down, and what there was is forgotten.
func Open(dir string, keep int, clock func() time.Time) (*Diary, error) {
	d := &Diary{dir: dir, clock: clock, lines: map[key]*Line{}, dirty: map[key]bool{}}
	if err := d.Keep(keep); err != nil {
		return nil, err
	}
	return d, d.turn(clock().Format(time.DateOnly))
}

// Add writes down one use that has ended.
func (d *Diary) Add(h policy.Host, app policy.App, purpose policy.Purpose, up, down int64) {
	k := key{siteOf(h), policy.ClassOf(h), purpose, app}
	day := d.clock().Format(time.DateOnly)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keep == 0 {
		return
	}
	for d.today != day {
		d.mu.Unlock()
		err := d.turn(day)
		if d.mu.Lock(); err != nil { // the disk fails: Tend reports it, and the owner sees today's use all the same
			d.startLocked(day, nil)
		}
	}
	if d.lines[k] == nil && len(d.lines) >= maxLines {
		k.site, k.category = OtherSites, policy.ClassOther
	}
	l := d.lines[k]
	if l == nil {
		l = &Line{Day: day, Site: k.site, Category: k.category, Purpose: purpose, App: app}
		d.lines[k] = l
	}
	l.Streams++
	l.Up += up
	l.Down += down
	d.dirty[k] = true
}

// turn makes day the one that is written down: what is new of the last is saved, and what the disk has of day is read, for
// clocks are set back, too.
func (d *Diary) turn(day string) error {
	for {
		if err := d.save(); err != nil {
			return err
		}
		lines, _, err := Read(d.dir, day)
		if err != nil {
			return err
		}
		d.mu.Lock()
		late := len(d.dirty) > 0 // a stream of the last day came in between
		if !late && d.today != day {
			d.startLocked(day, lines)
		}
		d.mu.Unlock()
		if !late {
			return nil
		}
	}
}

func (d *Diary) startLocked(day string, lines []Line) {
	d.today, d.known = day, lines != nil
	clear(d.lines)
	clear(d.dirty)
	for _, l := range lines {
		d.lines[l.key()] = &l
	}
}

// Tend writes what is new, and at a new day removes what is older than the owner keeps. It is called every few seconds.
func (d *Diary) Tend() error {
	day := d.clock().Format(time.DateOnly)
	d.mu.Lock()
	midnight, keep := d.today != day, d.keep
	d.mu.Unlock()
	if !midnight {
		return d.save()
	}
	if err := d.turn(day); err != nil {
		return err
	}
	return d.sweep(keep)
}

// Keep sets for how many days the diary is kept, today counted, and removes older ones at once.
func (d *Diary) Keep(days int) error {
	if days < 0 || days > MaxKeep {
		return fmt.Errorf("a diary is kept for 0 to %d days, not %d", MaxKeep, days)
	}
	d.mu.Lock()
	d.keep = days
	d.mu.Unlock()
	if days == 0 {
		return d.ForgetAll()
	}
	return d.sweep(days)
}

// Lines are those of a day, most bytes first, with the number of records that could not be read.
func (d *Diary) Lines(day string) (lines []Line, damaged int, err error) {
	d.mu.Lock()
	today := day == d.today
	if today {
		for _, l := range d.lines {
			lines = append(lines, *l)
		}
	}
	d.mu.Unlock()
	if !today {
		return Read(d.dir, day)
	}
	sortLines(lines)
	return lines, 0, nil
}

// Days lists the days that something was written down, newest first.
func (d *Diary) Days() ([]string, error) {
	days, err := Days(d.dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) > 0 && !slices.Contains(days, d.today) { // not on disk yet
		days = append([]string{d.today}, days...)
	}
	return days, err
}

// Close writes what is new.
func (d *Diary) Close() error {
	if err := d.save(); err != nil {
		return fmt.Errorf("close the diary: %w", err)
	}
	return nil
}

func (l Line) key() key { return key{l.Site, l.Category, l.Purpose, l.App} }

// siteOf is the registrable domain: what a person calls a site, and as much as the owner needs to block it.
func siteOf(h policy.Host) string {
	if h.Name() == "" {
		return Addresses
	}
	site, err := publicsuffix.EffectiveTLDPlusOne(h.Name())
	if err != nil {
		return h.Name()
	}
	return site
}

// errDay: a day is not written as one.
var errDay = errors.New("a day is written as 2006-01-02")

// ParseDay checks that a day names a file of the diary and nothing else.
func ParseDay(day string) (string, error) {
	if t, err := time.Parse(time.DateOnly, day); err != nil || t.Format(time.DateOnly) != day {
		return "", fmt.Errorf("%.20q: %w", day, errDay)
	}
	return day, nil
}

func recordsPath(dir, day string) string { return filepath.Join(dir, "days", day+recordsSuffix) }
func keyPath(dir, day string) string     { return filepath.Join(dir, "keys", day) }
