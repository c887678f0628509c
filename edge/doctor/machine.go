package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// What an edge writes is small: receipts on their way, a month of diary, a log. Below littleSpace it may not be able to
// write down a lease, and then it stops sharing rather than forget a byte.
const (
	littleSpace = 64 << 20 // bytes
	goodSpace   = 512 << 20
)

// disk looks for room, and writes a byte.
func (c Config) disk() []Finding {
	probe, err := os.CreateTemp(c.Dir, "doctor.*.tmp")
	if err == nil {
		_, err = probe.Write([]byte{0})
		probe.Close()
		os.Remove(probe.Name())
	}
	if os.IsNotExist(err) {
		return nil // no settings yet: said elsewhere
	}
	if err != nil {
		return one(problem("disk", fmt.Sprintf("%s cannot be written: %v", c.Dir, err),
			"Run this as the user whose edge it is, and give that user the directory. An edge that cannot write down what it used shares nothing."))
	}
	free, err := freeBytes(c.Dir)
	switch {
	case err != nil:
		return one(note("disk", fmt.Sprintf("free space of %s cannot be read: %v", c.Dir, err), ""))
	case free < littleSpace:
		return one(problem("disk", fmt.Sprintf("%d MB are free for %s", free/1e6, c.Dir), "Make room: an edge that cannot write down what it used shares nothing."))
	case free < goodSpace:
		return one(note("disk", fmt.Sprintf("%d MB are free for %s", free/1e6, c.Dir), "Make room before it gets less."))
	}
	return one(ok("disk", fmt.Sprintf("%s can be written, %d GB are free", c.Dir, free/1e9)))
}

// modes looks for files in the directory that other users of this machine may read or change.
func (c Config) modes() []Finding {
	if runtime.GOOS == "windows" {
		return nil // access is not in the mode there
	}
	var loose []string
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // a file of a running edge that has just gone
		}
		if info.Mode().Perm()&0o077 != 0 {
			loose = append(loose, fmt.Sprintf("%s (%04o)", path, info.Mode().Perm()))
		}
		return nil
	})
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return one(note("files", fmt.Sprintf("%s cannot be read: %v", c.Dir, err), "Run this as the user whose edge it is."))
	case len(loose) > 0:
		const shown = 3
		rest := ""
		if len(loose) > shown {
			rest = fmt.Sprintf(" and %d more", len(loose)-shown)
		}
		return one(problem("files", "other users of this machine may read: "+strings.Join(loose[:min(len(loose), shown)], ", ")+rest,
			fmt.Sprintf("chmod -R go= %s", c.Dir)))
	}
	return one(ok("files", "the key, the settings and the records are readable by their owner alone"))
}
