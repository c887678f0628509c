package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

const (
	// A log of 4 MB is a year of an edge that has little to say, and a day of one that says everything.
	maxLogFile = 1 << 20 // bytes of one file
	keptLogs   = 3       // full files beside the one that is written: log.1 is the newest
)

// LogFile is a log that takes a bounded place on disk. When it is full it becomes .1, that one .2, and the oldest goes.
//
// It is our own because lumberjack, which does the same, starts a goroutine for each log that never ends.
type LogFile struct {
	path string
	max  int64

	mu     sync.Mutex
	file   *os.File // nil when it could not be opened
	size   int64
	closed bool
}

// OpenLogFile goes on with the log at path, which nobody but its owner may read.
func OpenLogFile(path string) (*LogFile, error) {
	l := &LogFile{path: path, max: maxLogFile}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.openLocked()
}

func (l *LogFile) openLocked() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the log: %w", err), f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write adds one record, which is not torn over two files. A log that cannot be turned over is written on from its
// beginning: the bound holds, whatever the disk does.
func (l *LogFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, fs.ErrClosed
	}
	if l.file == nil { // it could not be opened anew the last time
		if err := l.openLocked(); err != nil {
			return 0, err
		}
	}
	if l.size+int64(len(p)) > l.max && l.size > 0 {
		if err := l.turnLocked(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// turnLocked makes room: an open file is closed first, for Windows renames no other.
func (l *LogFile) turnLocked() error {
	l.file.Close() //nolint:errcheck // what it held is written, or lost to the same fault that the next write meets
	l.file = nil
	for i := keptLogs; i > 1; i-- {
		os.Rename(fmt.Sprintf("%s.%d", l.path, i-1), fmt.Sprintf("%s.%d", l.path, i)) //nolint:errcheck // at first there are none
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		if err := os.Truncate(l.path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("turn the log over: %w", err)
		}
	}
	return l.openLocked()
}

// Close ends the log.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
