package edge

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

const pauseFile = "pause.json"

// MaxPause is the longest pause with an end, one year. A pause without an end lasts until the owner resumes.
const MaxPause = 366 * 24 * time.Hour

// pause is the owner's switch. It is on disk, so that a restart does not resume what the owner stopped.
type pause struct {
	path  string
	clock func() time.Time

	mu    sync.Mutex
	state pauseState
}

type pauseState struct {
	Paused bool      `json:"paused"`
	Until  time.Time `json:"until,omitzero"` // zero: until the owner resumes
}

func openPause(dir string, clock func() time.Time) (*pause, error) {
	p := &pause{path: filepath.Join(dir, pauseFile), clock: clock}
	data, err := readFile(p.path)
	if err != nil {
		return nil, err
	}
	if data != nil && json.Unmarshal(data, &p.state) != nil {
		p.state = pauseState{Paused: true} // the owner's wish cannot be read: the safe one is assumed
	}
	return p, nil
}

// set pauses for d, or without an end when d is zero.
func (p *pause) set(d time.Duration) error {
	if d < 0 || d > MaxPause {
		return fmt.Errorf("a pause lasts up to %s, not %s", MaxPause, d)
	}
	next := pauseState{Paused: true}
	if d > 0 {
		next.Until = p.clock().Add(d)
	}
	return p.store(next)
}

func (p *pause) resume() error { return p.store(pauseState{}) }

// now tells whether the edge is paused, and until when.
func (p *pause) now() (paused bool, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.state.Paused || !p.state.Until.IsZero() && !p.clock().Before(p.state.Until) {
		return false, time.Time{}
	}
	return true, p.state.Until
}

// store takes effect even when the disk fails: stopping must always work.
func (p *pause) store(next pauseState) error {
	p.mu.Lock()
	p.state = next
	p.mu.Unlock()
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode pause: %w", err)
	}
	return writeFile(p.path, append(data, '\n'))
}
