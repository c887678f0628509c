package relay

import (
	"context"
	"errors"
	"sync"

	"sward/accounting"
)

// keeper puts receipts on disk beside the sessions that sign them. A channel's latest receipt says all that its earlier
// ones did, so a busy channel costs one write per turn of the disk and no session waits for it. What a crash takes from
// here the edge has on its own disk: it stores each receipt before it signs.
type keeper struct {
	spool *accounting.Spool
	wake  chan struct{} // one slot

	writing sync.Mutex // held while something is on its way to the disk; taken before mu
	fault   error      // of the disk, the first; under writing

	mu     sync.Mutex
	latest map[accounting.ChannelID]accounting.SignedReceipt // one for each open channel at most
}

func newKeeper(spool *accounting.Spool) *keeper {
	return &keeper{spool: spool, wake: make(chan struct{}, 1), latest: map[accounting.ChannelID]accounting.SignedReceipt{}}
}

// put takes a receipt over.
func (k *keeper) put(r accounting.SignedReceipt) {
	k.mu.Lock()
	k.latest[r.Channel] = r
	k.mu.Unlock()
	k.signal()
}

func (k *keeper) signal() {
	select {
	case k.wake <- struct{}{}:
	default: // it is awake already
	}
}

// run writes what was put until ctx ends. The first fault of the disk ends it, and the relay with it: receipts that
// cannot be kept must not be signed.
func (k *keeper) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return k.flush()
		case <-k.wake:
			if err := k.flush(); err != nil {
				return err
			}
		}
	}
}

// flush returns when everything that was put so far is on disk. Its first error is every later call's too, and ends run.
func (k *keeper) flush() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	if k.fault == nil {
		if k.fault = k.write(); k.fault != nil {
			k.signal()
		}
	}
	return k.fault
}

func (k *keeper) write() error {
	k.mu.Lock()
	latest := k.latest
	k.latest = make(map[accounting.ChannelID]accounting.SignedReceipt, len(latest))
	k.mu.Unlock()
	var writes sync.WaitGroup
	failed := make(chan error, len(latest))
	for _, r := range latest {
		writes.Go(func() { failed <- k.spool.PutReceipt(r) }) // together they share one write of the journal
	}
	writes.Wait()
	close(failed)
	var err error
	for f := range failed {
		err = errors.Join(err, f)
	}
	return err
}

// empty reports whether everything is on disk.
func (k *keeper) empty() bool {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.latest) == 0
}
