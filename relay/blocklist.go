package relay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"sward/policy"
)

// blocklistEvery is how often the files are looked at. A list is in force within two minutes of its writing.
const blocklistEvery = time.Minute

// blocklists are the operator's lists of hosts that nobody may reach, read again when their files change. A file that
// cannot be read, or is broken, leaves what was in force.
type blocklists struct {
	log   *slog.Logger
	files []*blocklistFile
}

type blocklistFile struct {
	path  string
	inUse atomic.Pointer[policy.Blocklist]

	// Of what was read last, whether it is in use or not; refresh's.
	tried   stamp
	failing bool // and told
}

// openBlocklists reads the files, all of which must be good: a relay does not begin to serve with half of its lists.
func openBlocklists(log *slog.Logger, paths []string) (*blocklists, error) {
	b := &blocklists{log: log}
	for _, path := range paths {
		f := &blocklistFile{path: path}
		if _, err := f.load(); err != nil {
			return nil, err
		}
		b.files = append(b.files, f)
	}
	return b, nil
}

// check refuses a host that is on one of the lists.
func (b *blocklists) check(h policy.Host) error {
	for _, f := range b.files {
		if err := f.inUse.Load().Check(h); err != nil {
			return err
		}
	}
	return nil
}

// refresh reads what has changed.
func (b *blocklists) refresh(context.Context) error {
	for _, f := range b.files {
		changed, err := f.load()
		told := f.failing
		f.failing = err != nil
		switch {
		case err != nil && !told:
			b.log.Warn("a blocklist cannot be used, the last good one stays in force", "err", err)
		case changed:
			b.log.Info("a blocklist is in force", "entries", f.inUse.Load().Len())
		}
	}
	return nil
}

// load reads the file if it is another than before. One that is broken is an error once.
func (f *blocklistFile) load() (changed bool, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return false, fmt.Errorf("blocklist: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, fmt.Errorf("blocklist: %w", err)
	}
	found := stamp{info.Size(), info.ModTime()}
	if found == f.tried {
		return false, nil
	}
	f.tried = found
	list, err := policy.ParseBlocklist(file)
	if err != nil {
		return false, fmt.Errorf("blocklist %s: %w", f.path, err)
	}
	f.inUse.Store(list)
	return true, nil
}
