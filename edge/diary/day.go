package diary

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sward/internal/daemon"
)

// maxDayFile is where a day's records are written anew, one for each line: far above what the lines need, so that it
// happens seldom, and a bound on what a day takes on disk.
const maxDayFile = 4 * maxLines * sealedBytes // 1.3 MB

// save writes the lines that have changed. It follows the key on disk: where that is gone, the day was forgotten.
func (d *Diary) save() error {
	d.disk.Lock()
	defer d.disk.Unlock()
	d.mu.Lock()
	if d.known && keyGone(d.dir, d.today) {
		d.known = false
		clear(d.lines)
		clear(d.dirty)
	}
	day, lines, all := d.today, make([]Line, 0, len(d.dirty)), make([]Line, 0, len(d.lines))
	if len(d.dirty) > 0 {
		for k, l := range d.lines {
			if all = append(all, *l); d.dirty[k] {
				lines = append(lines, *l)
			}
		}
	}
	clear(d.dirty)
	d.mu.Unlock()
	if len(lines) == 0 {
		return nil
	}
	err := d.write(day, lines, all)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.today == day {
		d.known = err == nil || d.known
		for _, l := range lines {
			if _, here := d.lines[l.key()]; err != nil && here {
				d.dirty[l.key()] = true // again with the next
			}
		}
	}
	return err
}

// write appends lines to the day's records, or puts all in their place where the file has grown to its bound.
func (d *Diary) write(day string, lines, all []Line) error {
	dayKey, fresh, err := d.keyOf(day)
	if err != nil {
		return err
	}
	s, err := newSealer(dayKey, day)
	if err != nil {
		return err
	}
	path := recordsPath(d.dir, day)
	info, err := os.Stat(path)
	if fresh || err == nil && info.Size()+int64(len(lines))*sealedBytes > maxDayFile {
		return daemon.WriteFile(path, s.sealAll(all), 0o600)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write the diary: %w", err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.WriteAt(s.sealAll(lines), end-end%sealedBytes) // over a torn record
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the diary: %w", err)
	}
	return nil
}

func (s *sealer) sealAll(lines []Line) []byte {
	out := make([]byte, 0, len(lines)*sealedBytes)
	for _, l := range lines {
		out = s.seal(out, l)
	}
	return out
}

// keyOf reads the day's key, or makes a fresh one. A key that is not one opens nothing: its day begins anew.
func (d *Diary) keyOf(day string) (dayKey []byte, fresh bool, err error) {
	dayKey, err = readKey(d.dir, day)
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errKey) {
		return dayKey, false, err
	}
	for _, sub := range []string{"days", "keys"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o700); err != nil {
			return nil, false, fmt.Errorf("write the diary: %w", err)
		}
	}
	dayKey = make([]byte, keyBytes)
	rand.Read(dayKey) //nolint:errcheck // crypto/rand never fails
	return dayKey, true, daemon.WriteFile(keyPath(d.dir, day), dayKey, 0o600)
}

var errKey = errors.New("not a key")

func readKey(dir, day string) ([]byte, error) {
	f, err := os.Open(keyPath(dir, day))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dayKey, err := io.ReadAll(io.LimitReader(f, keyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the diary's key: %w", err)
	}
	if len(dayKey) != keyBytes {
		return nil, fmt.Errorf("%s: %w", f.Name(), errKey)
	}
	return dayKey, nil
}

func keyGone(dir, day string) bool {
	_, err := os.Stat(keyPath(dir, day))
	return errors.Is(err, fs.ErrNotExist)
}

// Read reads the lines of a day from the diary in dir, most bytes first, with the number of records that could not be
// read. It needs no running edge, and disturbs none.
func Read(dir, day string) (lines []Line, damaged int, err error) {
	if _, err := ParseDay(day); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(recordsPath(dir, day))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the diary: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDayFile))
	if err != nil {
		return nil, 0, fmt.Errorf("read the diary: %w", err)
	}
	dayKey, err := readKey(dir, day)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errKey) {
		return nil, (len(data) + sealedBytes - 1) / sealedBytes, nil
	}
	if err != nil {
		return nil, 0, err
	}
	s, err := newSealer(dayKey, day)
	if err != nil {
		return nil, 0, err
	}
	last := map[key]Line{}
	for record := range slices.Chunk(data, sealedBytes) {
		l, err := s.open(record)
		if err != nil {
			damaged++
			continue
		}
		if l.Streams >= last[l.key()].Streams {
			last[l.key()] = l
		}
	}
	for _, l := range last {
		lines = append(lines, l)
	}
	sortLines(lines)
	return lines, damaged, nil
}

// Days lists the days that the diary in dir holds, newest first.
func Days(dir string) ([]string, error) {
	var days []string
	for _, sub := range []string{"days", "keys"} { // of a half-removed day, what is left
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the diary: %w", err)
		}
		for _, e := range entries {
			if day, err := ParseDay(strings.TrimSuffix(e.Name(), recordsSuffix)); err == nil {
				days = append(days, day)
			}
		}
	}
	slices.Sort(days)
	days = slices.Compact(days)
	slices.Reverse(days)
	return days, nil
}

func sortLines(lines []Line) {
	slices.SortFunc(lines, func(x, y Line) int {
		return cmp.Or(cmp.Compare(y.Up+y.Down, x.Up+x.Down), cmp.Compare(x.Site, y.Site), cmp.Compare(x.Purpose, y.Purpose), cmp.Compare(x.App, y.App))
	})
}
