package indexer

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

const (
	batchDocuments = 500     // below this a batch costs more in fsyncs than in work
	batchBytes     = 8 << 20 // of text; bleve needs about twenty times as much memory meanwhile
	queueLength    = 64      // changes that wait; their callers wait with them
)

// change is what one caller wants, or several callers together.
type change struct {
	documents []Document
	deletes   []string
	takeDowns []string
	bytes     int
	waiters   []chan<- error
}

// progress is what has reached the shards and is not yet written to the page store.
type progress struct{ indexed, removed []string }

func (c *change) add(d Document) {
	c.documents = append(c.documents, d)
	c.bytes += len(d.Text)
}

func (c *change) full() bool { return len(c.documents) >= batchDocuments || c.bytes >= batchBytes }

// join puts a second change behind the first, if the order of what happens to one page allows.
// The documents of a change come after its removals, so a removal cannot follow documents.
func (c *change) join(next *change) bool {
	if len(c.documents) > 0 && len(next.deletes)+len(next.takeDowns) > 0 {
		return false
	}
	if len(c.documents)+len(next.documents) > batchDocuments || c.bytes+next.bytes > batchBytes {
		return false
	}
	c.documents = append(c.documents, next.documents...)
	c.deletes = append(c.deletes, next.deletes...)
	c.takeDowns = append(c.takeDowns, next.takeDowns...)
	c.bytes += next.bytes
	c.waiters = append(c.waiters, next.waiters...)
	return true
}

// latest keeps the last document of each address.
func (c *change) latest() {
	last := make(map[string]int, len(c.documents))
	for n, d := range c.documents {
		last[d.URL] = n
	}
	kept := c.documents[:0]
	for n, d := range c.documents {
		if last[d.URL] == n {
			kept = append(kept, d)
		}
	}
	c.documents = kept
}

// submit hands a change to the writer and waits for its end.
func (x *Index) submit(ctx context.Context, c *change) error {
	done := make(chan error, 1)
	c.waiters = []chan<- error{done}
	select {
	case <-x.closing:
		return ErrClosed
	default:
	}
	select {
	case x.queue <- c:
	case <-x.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for the index: %w", ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-x.closing:
		x.writer.Wait() // the batch at work may be this one
		select {
		case err := <-done:
			return err
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return fmt.Errorf("wait for the index: %w", ctx.Err())
	}
}

// write is the single writer: it takes all that waits, up to a batch, so that many callers with a
// page each share the cost of getting it to disk.
func (x *Index) write() {
	ctx := context.Background() // a batch serves several callers: the end of one is not its end
	var done progress
	var held *change // taken from the queue and not joined
	for {
		c := held
		held = nil
		if c == nil {
			select {
			case c = <-x.queue:
			case <-x.closing:
				if err := x.pages.finish(ctx, &done); err != nil {
					x.log.Warn("last batch will be indexed again at the next start", "error", err)
				}
				return
			}
		}
	gather:
		for {
			select {
			case next := <-x.queue:
				if !c.join(next) {
					held = next
					break gather
				}
			default:
				break gather
			}
		}
		err := x.commit(ctx, c, &done)
		for _, w := range c.waiters {
			w <- err
		}
	}
}

// commit takes one change through the page store and the shards. What it achieved is left in done,
// to be written with the next change: losing it costs indexing a batch again.
func (x *Index) commit(ctx context.Context, c *change, done *progress) error {
	c.latest()
	accepted, removed, err := x.pages.begin(ctx, c, done)
	if err != nil {
		return err
	}
	*done = progress{}
	if err := x.index(accepted, removed); err != nil {
		return err
	}
	for _, d := range accepted {
		done.indexed = append(done.indexed, d.URL)
		x.lengths.add(float64(d.words), 1)
	}
	done.removed = removed
	return nil
}

// index brings documents and removals to their shards, all shards at once.
func (x *Index) index(documents []Document, removed []string) error {
	puts, removals := make([][]Document, len(x.shards)), make([][]string, len(x.shards))
	for _, d := range documents {
		n := shardOf(d.host(), len(x.shards))
		puts[n] = append(puts[n], d)
	}
	for _, address := range removed {
		d := Document{URL: address}
		n := shardOf(d.host(), len(x.shards))
		removals[n] = append(removals[n], address)
	}
	var group errgroup.Group
	for n, s := range x.shards {
		if len(puts[n])+len(removals[n]) == 0 {
			continue
		}
		group.Go(func() error {
			batch := s.NewBatch()
			for _, address := range removals[n] {
				batch.Delete(address)
			}
			for _, d := range puts[n] { // after the removals: the same address may be among them
				if err := batch.Index(d.URL, d.fields()); err != nil {
					return fmt.Errorf("index page: %w", err)
				}
			}
			if err := s.apply(batch); err != nil {
				return fmt.Errorf("index pages: %w", err)
			}
			return nil
		})
	}
	return group.Wait()
}

// recoverPending finishes what an earlier process began.
func (x *Index) recoverPending(ctx context.Context) error {
	for {
		left, err := x.pages.pending(ctx)
		if err != nil {
			return err
		}
		if len(left.documents)+len(left.deletes) == 0 {
			return nil
		}
		if err := x.index(left.documents, left.deletes); err != nil {
			return fmt.Errorf("finish the last run: %w", err)
		}
		done := progress{removed: left.deletes}
		for _, d := range left.documents {
			done.indexed = append(done.indexed, d.URL)
		}
		if err := x.pages.finish(ctx, &done); err != nil {
			return err
		}
	}
}
