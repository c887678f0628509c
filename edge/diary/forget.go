package diary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Forget removes a day.
func (d *Diary) Forget(day string) error {
	d.disk.Lock()
	defer d.disk.Unlock()
	d.mu.Lock()
	if d.today == day {
		d.known = false
		clear(d.lines)
		clear(d.dirty)
	}
	d.mu.Unlock()
	return Forget(d.dir, day)
}

// ForgetAll removes every day.
func (d *Diary) ForgetAll() error {
	days, err := d.Days()
	errs := []error{err}
	for _, day := range days {
		errs = append(errs, d.Forget(day))
	}
	return errors.Join(errs...)
}

// sweep removes the days before the last keep ones.
func (d *Diary) sweep(keep int) error {
	days, err := Days(d.dir)
	if err != nil {
		return err
	}
	now := d.clock()
	first := now.AddDate(0, 0, 1-keep).Format(time.DateOnly)
	var errs []error
	for _, day := range days {
		if day < first {
			errs = append(errs, d.Forget(day))
		}
	}
	return errors.Join(errs...)
}

// Forget removes a day from the diary in dir: its key first, without which the rest cannot be read. A running edge on it
// sees that and drops what it has in memory. The key's bytes are written over before; what a flash disk keeps of them
// out of sight is beyond a program.
func Forget(dir, day string) error {
	if _, err := ParseDay(day); err != nil {
		return err
	}
	if err := shred(keyPath(dir, day)); err != nil {
		return fmt.Errorf("forget %s: %w", day, err)
	}
	if err := os.Remove(recordsPath(dir, day)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", day, err)
	}
	return nil
}

// shred writes zeros over a key in its place and removes it.
func shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = f.Write(make([]byte, keyBytes))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	return errors.Join(err, os.Remove(path))
}
