package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/daemon"
)

const (
	proofsDir = "proofs"
	// proofDays is how long the receipts that the hub has answered for are kept: as long as it says which of them its points
	// rest on.
	proofDays = 35
	// maxProofs bounds the channels kept of one day. An edge on four relays opens about a hundred.
	maxProofs = 2000
	// maxProofFile bounds one day's file in bytes: a receipt is below a KiB as a rule, one with a thousand grants 36 KiB.
	maxProofFile = 32 << 20
)

// proofs keeps the latest receipt of each channel after the hub has answered for it. The spool drops those; the owner may
// want to see what the points rest on, or show it to somebody else. A receipt names no site: it says who signed, and how
// many bytes.
//
// There is a file for each UTC day on which channels opened. Only those that change are in memory, and what is not written
// yet at a crash is only no longer shown: the hub has it.
type proofs struct {
	dir, network string

	mu    sync.Mutex
	days  map[string]*proofDay              // that this process has changed
	index map[accounting.ChannelID]proofRef // of all that is kept; nil until somebody asks
}

type proofDay struct {
	kept  map[accounting.ChannelID]proof
	dirty bool
}

// proof is a receipt with its channel, in the bytes that both sides signed.
type proof struct {
	Channel []byte             `json:"channel"` // SignedChannel.Bytes
	Receipt []byte             `json:"receipt"` // SignedReceipt.Bytes
	Refused accounting.Refusal `json:"refused,omitempty"`
}

// proofRef is where a proof lies, and what it counts.
type proofRef struct {
	day string
	carried
	refused bool
}

func openProofs(dir, network string) *proofs {
	return &proofs{dir: filepath.Join(dir, proofsDir), network: network, days: map[string]*proofDay{}}
}

// keep files what the hub has answered for. refused is its rule, if it did not take the receipt.
func (p *proofs) keep(u accounting.Unsettled, refused accounting.Refusal) error {
	day := time.UnixMilli(u.Channel.Opened).UTC().Format(time.DateOnly)
	id := u.Receipt.Channel
	p.mu.Lock()
	defer p.mu.Unlock()
	d, err := p.dayLocked(day)
	if err != nil {
		return err
	}
	if _, known := d.kept[id]; !known && len(d.kept) >= maxProofs {
		return fmt.Errorf("%d channels opened on %s: no more of that day are kept", maxProofs, day)
	}
	d.kept[id] = proof{Channel: u.Channel.Bytes(), Receipt: u.Receipt.Bytes(), Refused: refused}
	d.dirty = true
	if p.index != nil {
		p.index[id] = proofRef{day, carried{u.Receipt.Up, u.Receipt.Down}, refused != ""}
	}
	return nil
}

// dayLocked reads a day into memory, to be changed.
func (p *proofs) dayLocked(day string) (*proofDay, error) {
	if d := p.days[day]; d != nil {
		return d, nil
	}
	kept, err := p.read(day)
	if err != nil {
		return nil, err
	}
	d := &proofDay{kept: kept}
	p.days[day] = d
	return d, nil
}

// find is what is kept of a channel.
func (p *proofs) find(id accounting.ChannelID) (proof, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ref, known := p.refsLocked()[id]
	if !known {
		return proof{}, false
	}
	if d := p.days[ref.day]; d != nil {
		found, known := d.kept[id]
		return found, known
	}
	kept, err := p.read(ref.day)
	if err != nil {
		return proof{}, false
	}
	found, known := kept[id]
	return found, known
}

// refs says of each channel that is kept what its receipt counts.
func (p *proofs) refs() map[accounting.ChannelID]proofRef {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.refsLocked()
	copied := make(map[accounting.ChannelID]proofRef, len(all))
	for id, ref := range all {
		copied[id] = ref
	}
	return copied
}

// refsLocked reads the days from disk the first time. A day that cannot be read has nothing to show.
func (p *proofs) refsLocked() map[accounting.ChannelID]proofRef {
	if p.index != nil {
		return p.index
	}
	p.index = map[accounting.ChannelID]proofRef{}
	add := func(day string, kept map[accounting.ChannelID]proof) {
		for id, one := range kept {
			if r, err := accounting.ParseSignedReceipt(one.Receipt); err == nil {
				p.index[id] = proofRef{day, carried{r.Up, r.Down}, one.Refused != ""}
			}
		}
	}
	for _, day := range p.onDisk() {
		if kept, err := p.read(day); err == nil && p.days[day] == nil {
			add(day, kept)
		}
	}
	for day, d := range p.days {
		add(day, d.kept)
	}
	return p.index
}

// save writes the days that have changed, and forgets those that are old or have come to rest.
func (p *proofs) save(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var failed error
	oldest := now.UTC().AddDate(0, 0, -proofDays).Format(time.DateOnly)
	yesterday := now.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	for day, d := range p.days {
		if d.dirty {
			if err := p.write(day, d.kept); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			d.dirty = false
		}
		if day < yesterday {
			delete(p.days, day)
		}
	}
	for _, day := range p.onDisk() {
		if day >= oldest {
			continue
		}
		if err := os.Remove(p.path(day)); err != nil {
			failed = errors.Join(failed, err)
		}
		for id, ref := range p.index {
			if ref.day == day {
				delete(p.index, id)
			}
		}
	}
	return failed
}

func (p *proofs) path(day string) string { return filepath.Join(p.dir, day+".json") }

// onDisk lists the days that have a file, ascending.
func (p *proofs) onDisk() (days []string) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil // none yet
	}
	for _, e := range entries {
		day, ok := strings.CutSuffix(e.Name(), ".json")
		if _, err := time.Parse(time.DateOnly, day); ok && err == nil {
			days = append(days, day)
		}
	}
	return days
}

func (p *proofs) write(day string, kept map[accounting.ChannelID]proof) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("keep receipts: %w", err)
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("keep receipts: %w", err)
	}
	return daemon.WriteFile(p.path(day), data, 0o600)
}

// read reads one day. A file that is damaged is as one that is not there: it is written anew with what comes.
func (p *proofs) read(day string) (map[accounting.ChannelID]proof, error) {
	kept := map[accounting.ChannelID]proof{}
	f, err := os.Open(p.path(day))
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read receipts of %s: %w", day, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProofFile+1))
	if err != nil {
		return nil, fmt.Errorf("read receipts of %s: %w", day, err)
	}
	if len(data) > maxProofFile || json.Unmarshal(data, &kept) != nil {
		return map[accounting.ChannelID]proof{}, nil
	}
	return kept, nil
}
