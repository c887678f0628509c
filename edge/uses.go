package edge

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sward/edge/diary"
)

const (
	// DiaryDir is the diary's place in the state directory; [diary.Read] reads it without a running edge.
	DiaryDir = "diary"

	shownSites = 100 // of today, in Status
)

// Use is what went to one site today.
type Use struct {
	Site    string         `json:"site"` // registrable domain, or "addresses"
	Streams int            `json:"streams"`
	Up      int64          `json:"up"`
	Down    int64          `json:"down"`
	For     map[string]int `json:"for"` // purpose → streams
}

// openDiary opens the diary, and removes the journal that took its place before it was encrypted.
func openDiary(dir string, keep int, clock func() time.Time) (*diary.Diary, error) {
	if err := os.Remove(filepath.Join(dir, "activity.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old journal: %w", err)
	}
	return diary.Open(filepath.Join(dir, DiaryDir), keep, clock)
}

// Diary is the record of what left the owner's line; nil before the edge runs.
func (e *Edge) Diary() *diary.Diary {
	if !e.isOpen() {
		return nil
	}
	return e.diary
}

// usesOf adds up a day's lines by site, most bytes first.
func (e *Edge) usesOf(day string) []Use {
	lines, _, err := e.diary.Lines(day)
	if err != nil {
		e.cfg.Log.Error("the diary cannot be read", "err", err)
	}
	sites := map[string]int{}
	uses := []Use{}
	for _, l := range lines {
		i, ok := sites[l.Site]
		if !ok {
			i = len(uses)
			sites[l.Site] = i
			uses = append(uses, Use{Site: l.Site, For: map[string]int{}})
		}
		u := &uses[i]
		u.Streams += int(l.Streams)
		u.Up += l.Up
		u.Down += l.Down
		u.For[string(l.Purpose)] += int(l.Streams)
	}
	slices.SortFunc(uses, func(x, y Use) int {
		return cmp.Or(cmp.Compare(y.Up+y.Down, x.Up+x.Down), cmp.Compare(x.Site, y.Site))
	})
	return uses[:min(len(uses), shownSites)]
}
