package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"sward/internal/daemon"
)

// SettingsFile is the name of the settings file in a state directory.
const SettingsFile = "edge.yaml"

// followEvery is how often the settings file is looked at: an owner who saves it sees the change before they have
// turned to the dashboard, and a look is one call of the system.
const followEvery = 2 * time.Second

// settingsFile is edge.yaml: the owner's editor and the dashboard write it, and it is one and the same thing.
type settingsFile struct {
	path string // empty: settings live in memory only

	mu      sync.Mutex
	seen    stamp
	problem string // what is wrong with what is in it now
}

// stamp tells one version of a file from another.
type stamp struct {
	size     int64
	modified time.Time
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

// ReadSettings reads the file of an edge over the defaults. The error names the key.
func ReadSettings(path string) (FileConfig, error) {
	c := DefaultFileConfig()
	if err := daemon.LoadConfig(path, &c); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// write puts s into the file, beside what else is in it.
func (f *settingsFile) write(s Settings) error {
	if f.path == "" {
		return nil
	}
	c, err := ReadSettings(f.path)
	if err != nil {
		return fmt.Errorf("the settings file has a fault that would be lost with it; mend it first: %w", err)
	}
	c.Settings = s
	if err := daemon.RewriteConfig(f.path, c); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.problem = stampOf(f.path), ""
	return nil
}

// changed tells whether the file is another than the one last looked at.
func (f *settingsFile) changed() bool {
	now := stampOf(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if now == f.seen {
		return false
	}
	f.seen = now
	return true
}

func (f *settingsFile) fault() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

func (f *settingsFile) setFault(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem = ""; err != nil {
		f.problem = err.Error()
	}
}

// followFile puts in force what the owner writes into the settings file. A file with a fault changes nothing: what was in
// force stays, and the status says what is wrong.
func (e *Edge) followFile(ctx context.Context) error {
	if e.file.path == "" {
		return nil
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			e.followOnce()
		}
	}
}

func (e *Edge) followOnce() {
	e.changing.Lock() // a change of ours is whole before it is looked at
	defer e.changing.Unlock()
	if !e.file.changed() {
		return
	}
	c, err := ReadSettings(e.file.path)
	if errors.Is(err, os.ErrNotExist) {
		err = errors.New("the settings file is gone; the settings of before stay in force")
	}
	e.file.setFault(err)
	if err != nil {
		e.cfg.Log.Warn("the settings file is not good: the settings of before stay in force", "err", err)
		return
	}
	t, err := c.compile(e.lists())
	if err != nil {
		e.file.setFault(err)
		return
	}
	e.applyLocked(t)
	e.cfg.Log.Info("settings are read again")
}
