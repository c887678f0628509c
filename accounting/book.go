package accounting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sward/internal/daemon"
	"sward/internal/identity"
)

// What lies in a book's directory.
const (
	journalDir = "journal"
	ledgerFile = "ledger.db"
	lockFile   = "LOCK"
	sealFile   = "SEAL"
)

// BookConfig is what a hub's book needs of the world.
type BookConfig struct {
	Dir     string // made if missing, 0700
	Network string
	Key     identity.Key // the hub's: signs every decision, grants and the directory
	Price   Price        // for new grants; a changed price needs a new id. Default: DefaultPrice

	Breakdown *Breakdown                           // what relays say that partners used; nil keeps none. The caller closes it
	Limits    Limits                               // of partners that have none of their own. Default: DefaultLimits
	GrantLife time.Duration                        // default 30 minutes, at most MaxGrantLife
	Consents  []Hash                               // hashes of the terms an owner may have accepted; none: any
	Kin       func(edge identity.ID) []identity.ID // devices whose record speaks for each other; nil: none
	MinAgent  string                               // for the directory

	Clock func() time.Time // default time.Now
	Log   *slog.Logger     // default: silence
}

func (c BookConfig) withDefaults() BookConfig {
	if c.Price == (Price{}) {
		c.Price = DefaultPrice()
	}
	c.Limits = c.Limits.over(DefaultLimits())
	if c.GrantLife <= 0 {
		c.GrantLife = defaultGrantLife
	}
	c.GrantLife = min(c.GrantLife, MaxGrantLife)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Book is the hub's accounts. The journal is the truth: every change is first a record there, on disk, and then one
// transaction in the SQLite ledger, which notes how far it has come. Whenever the process dies, the next Open replays what
// the ledger has missed. Safe for concurrent use; one process at a time.
type Book struct {
	cfg     BookConfig
	unlock  func() error
	journal *Journal
	store   *store
	nobody  partner // what a name that does not exist is compared with

	mu        sync.Mutex
	state     *state
	failed    error // the disk's: memory may be ahead of the journal, so nothing is accepted until the next Open
	directory SignedDirectory
	lists     map[string]string    // of the directory
	list      json.RawMessage      // what they name, as it is answered
	beats     map[identity.ID]beat // the relays' last heartbeats
	homes     homes                // of edges, as relays say
	closed    bool
}

// OpenBook opens the book in cfg.Dir, or begins one. It fails when another process has it open, when the journal is
// damaged, or when the book belongs to another network or hub.
func OpenBook(cfg BookConfig) (_ *Book, err error) {
	ctx := context.Background() // opening is local, and must not be left half done
	cfg = cfg.withDefaults()
	if err := identity.CheckNetwork(cfg.Network); err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	if err := cfg.Price.check(); err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	if err := cfg.Limits.check(); err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	b := &Book{cfg: cfg, nobody: partner{key: keyHash(newKey())}, beats: map[identity.ID]beat{}}
	if b.unlock, err = daemon.Lock(filepath.Join(cfg.Dir, lockFile)); err != nil {
		return nil, fmt.Errorf("open book %s: %w", cfg.Dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.release())
		}
	}()
	if err := breakSeal(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	var torn TornTail
	if b.journal, torn, err = OpenJournal(JournalConfig{Dir: filepath.Join(cfg.Dir, journalDir)}); err != nil {
		return nil, err
	}
	if torn != (TornTail{}) {
		cfg.Log.Warn("an interrupted write was cut off the journal", "segment", torn.Segment, "offset", torn.Offset, "bytes", torn.Bytes)
	}
	if b.store, err = openStore(ctx, filepath.Join(cfg.Dir, ledgerFile)); err != nil {
		return nil, err
	}
	if err := b.replay(ctx); err != nil {
		return nil, err
	}
	return b, b.begin(ctx)
}

// replay brings the ledger up to the journal.
func (b *Book) replay(ctx context.Context) (err error) {
	if b.state, err = b.store.load(ctx); err != nil {
		return err
	}
	last, _ := b.journal.Head()
	if b.state.seq > last {
		return fmt.Errorf("open book: the ledger has seen record %d, but the journal ends at %d: it has lost records", b.state.seq, last)
	}
	from := b.state.seq
	v := verifier{state: b.state}
	err = readJournalFrom(filepath.Join(b.cfg.Dir, journalDir), from, b.state.head, func(r Record, _ location) error {
		if err := v.record(r); err != nil {
			return fmt.Errorf("replay record %d: %w", r.Seq, err)
		}
		return nil
	})
	if err == nil {
		err = v.flush()
	}
	if err == nil {
		err = b.state.endSettlement()
	}
	if err != nil || b.state.seq == from {
		return err
	}
	b.cfg.Log.Info("the ledger was brought up to the journal", "from", from, "to", b.state.seq)
	return b.store.flush(ctx, b.state)
}

// begin writes the first records of a new book, or checks that an old one is the right one.
func (b *Book) begin(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch hub := b.cfg.Key.ID(); {
	case b.state.seq == 0:
		if err := b.decideLocked(ctx, &openedEvent{Network: b.cfg.Network, Hub: hub}); err != nil {
			return err
		}
	case b.state.network != b.cfg.Network || b.state.hub != hub:
		return fmt.Errorf("open book: it belongs to network %q and hub %s", b.state.network, b.state.hub)
	}
	if b.state.price == b.cfg.Price.ID {
		if known := b.state.prices[b.cfg.Price.ID]; known != b.cfg.Price {
			return fmt.Errorf("open book: price %d is in use with other amounts: a new price needs a new id", b.cfg.Price.ID)
		}
		return nil
	}
	return b.decideLocked(ctx, &priceEvent{Price: b.cfg.Price})
}

// Close ends the book: the ledger is checkpointed and the directory sealed, so that an audit notices a change to any byte
// of any file.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	healthy := b.failed == nil
	b.failed = ErrClosed
	err := b.closeFiles()
	if err == nil && healthy {
		err = seal(b.cfg.Dir, b.cfg.Network, b.cfg.Key)
	}
	return errors.Join(err, b.unlock())
}

// release closes what Open has opened.
func (b *Book) release() error { return errors.Join(b.closeFiles(), b.unlock()) }

func (b *Book) closeFiles() error {
	var err error
	if b.journal != nil {
		err = b.journal.Close()
	}
	if b.store != nil {
		err = errors.Join(err, b.store.close())
	}
	return err
}

// nowLocked is the book's clock: the hub's, which never goes back behind the last record.
func (b *Book) nowLocked() int64 { return max(b.cfg.Clock().UnixMilli(), b.state.time) }

// decide writes one of the hub's own decisions into the book, if the rules allow it.
func (b *Book) decide(ctx context.Context, e event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decideLocked(ctx, e)
}

func (b *Book) decideLocked(ctx context.Context, e event) error {
	w := b.writeLocked()
	if err := w.event(e); err != nil {
		return err
	}
	return w.commit(ctx)
}

// writer collects the records of one change. Each is applied to the state as it is added, and refused there if it breaks
// a rule; commit makes them all durable, or the book stops.
type writer struct {
	b       *Book
	now     int64
	entries []Entry
	scratch []byte
}

func (b *Book) writeLocked() *writer { return &writer{b: b, now: b.nowLocked()} }

func (w *writer) event(e event) error {
	b := w.b
	if b.failed != nil {
		return fmt.Errorf("the book has stopped: %w", b.failed)
	}
	p := place{Seq: b.state.seq + 1, Time: w.now, Prev: b.state.head}
	body, err := eventBody(p, e)
	if err != nil {
		return fmt.Errorf("%s: %w", e.kind(), err)
	}
	if err := b.state.event(p, e); err != nil {
		return err
	}
	w.add(uint16(e.kind()), append(body, b.cfg.Key.Sign(b.cfg.Network, e.kind().signedAs(), body)...))
	return nil
}

// channel adds a channel that checkChannel has passed.
func (w *writer) channel(id ChannelID, c SignedChannel) error {
	if err := w.b.state.channel(id, c); err != nil {
		return w.b.stopLocked(err)
	}
	w.add(recordChannel, c.Bytes())
	return nil
}

// receipt adds a receipt that checkReceipt has passed.
func (w *writer) receipt(r *SignedReceipt, hash [32]byte) error {
	if err := w.b.state.receipt(r, hash); err != nil {
		return w.b.stopLocked(err)
	}
	w.add(recordReceipt, r.Bytes())
	return nil
}

func (w *writer) add(typ uint16, body []byte) {
	w.entries = append(w.entries, Entry{Type: typ, Body: body})
	c := chain{w.b.state.seq, w.b.state.head}
	w.scratch = c.append(w.scratch[:0], typ, body)
	w.b.state.advance(c.seq, c.head)
}

// commit puts the records on disk, then into the ledger. The context does not reach the disk: a caller that has gone must
// not leave a change half made.
func (w *writer) commit(ctx context.Context) error {
	if len(w.entries) == 0 {
		return nil
	}
	b := w.b
	seq, err := b.journal.Append(w.entries...)
	if err == nil {
		if last, head := b.journal.Head(); seq != b.state.seq || last == seq && head != b.state.head {
			err = errors.New("the journal holds other records than the book")
		}
	}
	if err != nil {
		return b.stopLocked(fmt.Errorf("write journal: %w", err))
	}
	if err := b.state.endSettlement(); err != nil {
		return b.stopLocked(err)
	}
	// From here the change has happened. A ledger that cannot be written now is behind, not wrong.
	if err := b.store.flush(context.WithoutCancel(ctx), b.state); err != nil {
		b.cfg.Log.Error("the ledger is behind the journal", "error", err)
	}
	return nil
}

// stopLocked ends all writing: what is in memory may be more than what is on disk. The next Open starts from the disk.
func (b *Book) stopLocked(err error) error {
	b.failed = err
	b.cfg.Log.Error("the book has stopped", "error", err)
	return err
}

// Conserve checks in the database that no money was made or lost: every transaction adds up to zero, every balance is the
// sum of its postings, and all balances add up to zero.
func (b *Book) Conserve(ctx context.Context) error { return b.store.conserve(ctx) }

func (d *store) conserve(ctx context.Context) error {
	checks := []struct{ what, query string }{
		{"transaction %v adds up to %v", "SELECT tx, sum(amount) FROM posting GROUP BY tx HAVING sum(amount) <> 0"},
		{"account %v differs from its postings by %v", `SELECT id, balance - coalesce(posted, 0) FROM account
			LEFT JOIN (SELECT account AS posted_to, sum(amount) AS posted FROM posting GROUP BY account) ON posted_to = id
			WHERE balance <> coalesce(posted, 0)`},
		{"postings of %v add up to %v, but it has no balance", `SELECT account, sum(amount) FROM posting
			WHERE account NOT IN (SELECT id FROM account) GROUP BY account HAVING sum(amount) <> 0`},
		{"%v: all balances add up to %v", "SELECT 'ledger', sum(balance) FROM account HAVING sum(balance) <> 0"},
	}
	for _, c := range checks {
		err := d.each(ctx, c.query, func(values []any) error { return fmt.Errorf(c.what, values...) })
		if err != nil {
			return fmt.Errorf("conservation: %w", err)
		}
	}
	return nil
}
