package edge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sward/accounting"
	"sward/edge/diary"
	"sward/internal/daemon"
)

// KeyFile is the edge's identity.
const KeyFile = "key"

// lockFile keeps a second agent out of the directory.
const lockFile = "LOCK"

// state is what an edge keeps on disk.
type state struct {
	unlock   func() error
	volume   *volume
	pause    *pause
	refusals *refusals
	diary    *diary.Diary
	spool    *accounting.Spool
	kin      *kin
	proofs   *proofs
	chances  *chances
	outcomes *outcomes
}

// open reads the state directory. Only one process may have it: two would each lease from the same caps and sign with
// the same key.
func (e *Edge) open() (err error) {
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if e.unlock, err = daemon.Lock(filepath.Join(e.cfg.Dir, lockFile)); err != nil {
		return fmt.Errorf("edge: lock %s: %w", e.cfg.Dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.unlock())
		}
	}()
	if err := e.openLists(); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	t := e.terms()
	if e.volume, err = openVolume(filepath.Join(e.cfg.Dir, volumeFile), t.Caps.Policy(), t.zone, e.cfg.Clock); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if e.pause, err = openPause(e.cfg.Dir, e.cfg.Clock); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	e.refusals = openRefusals(e.cfg.Dir)
	if e.diary, err = openDiary(e.cfg.Dir, e.terms().KeepDays, e.cfg.Clock); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if e.spool, err = accounting.OpenSpoolAt(filepath.Join(e.cfg.Dir, spoolDir), e.cfg.Network, e.cfg.Clock); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	e.proofs, e.chances = openProofs(e.cfg.Dir, e.cfg.Network), openChances(e.cfg.Dir)
	e.outcomes = openOutcomes(e.cfg.Dir, e.cfg.Clock)
	if e.kin, err = openKin(e.cfg.Dir, e.volume); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	close(e.opened)
	return nil
}

// Opened is closed once Run has the state directory for itself: from then on Status, Pause and Resume work.
func (e *Edge) Opened() <-chan struct{} { return e.opened }

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
	return errors.Join(e.volume.close(), e.refusals.save(), e.diary.Close(), e.proofs.save(e.cfg.Clock()), e.chances.save(), e.outcomes.save(), e.spool.Close(), e.unlock())
}
