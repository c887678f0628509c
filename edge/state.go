package edge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sward/accounting"
)

// state is what an edge keeps on disk.
type state struct {
	volume   *volume
	pause    *pause
	refusals *refusals
	activity *activity
	spool    *accounting.Spool
}

// open reads the state directory.
func (e *Edge) open() error {
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	var err error
	if e.volume, err = openVolume(filepath.Join(e.cfg.Dir, volumeFile), e.cfg.Caps, e.cfg.Clock); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if e.pause, err = openPause(e.cfg.Dir, e.cfg.Clock); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	e.refusals, e.activity = openRefusals(e.cfg.Dir), openActivity(e.cfg.Dir)
	if e.spool, err = accounting.OpenSpool(filepath.Join(e.cfg.Dir, spoolDir), e.cfg.Network); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	close(e.opened)
	return nil
}

// isOpen tells whether Run has read the state directory.
func (e *Edge) isOpen() bool {
	select {
	case <-e.opened:
		return true
	default:
		return false
	}
}

// errNotRunning answers what only a running edge can do.
var errNotRunning = errors.New("the edge is not running")

// close writes what is still to be written. It follows the last stream.
func (e *Edge) close() error {
	return errors.Join(e.volume.close(), e.refusals.save(), e.activity.save(), e.spool.Close())
}
