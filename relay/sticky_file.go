package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"time"

	"sward/internal/daemon"
	"sward/internal/identity"
)

const (
	// stayEvery is how often sessions are written down while there are new ones: what was begun since is forgotten by a
	// crash.
	stayEvery = 10 * time.Second
	// stayMagic begins the file, and stayRecord is the size of each session in it.
	stayMagic  = "sward sessions 1\n"
	stayRecord = 16 + 16 + 32 + 1 + 4*8
)

// Flags of a record.
const flagHard = 1

// snapshot is the table as a file: magic, records, and the checksum of both.
func (t *stays) snapshot() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := make([]byte, 0, len(stayMagic)+len(t.all)*stayRecord+4)
	b = append(b, stayMagic...)
	for at := t.byUse.Front(); at != nil; at = at.Next() {
		s := at.Value.(*stay)
		if s.edge.IsZero() {
			continue
		}
		flags := byte(0)
		if s.hard {
			flags = flagHard
		}
		b = append(append(append(append(b, s.key[:]...), s.owner[:]...), s.edge[:]...), flags)
		for _, at := range []time.Time{s.ends, s.used, s.gone} {
			b = binary.BigEndian.AppendUint64(b, millis(at))
		}
		b = binary.BigEndian.AppendUint64(b, uint64(s.idle.Milliseconds()))
	}
	t.dirty = false
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func millis(at time.Time) uint64 {
	if at.IsZero() {
		return 0
	}
	return uint64(at.UnixMilli())
}

var errStays = errors.New("not a file of sessions")

// restore takes over the sessions of a snapshot that are not over. Those that were idle begin their idle time anew: the
// relay was away, not the partner.
func (t *stays) restore(b []byte) error {
	body, ok := bytes.CutPrefix(b, []byte(stayMagic))
	if !ok || len(body) < 4 || (len(body)-4)%stayRecord != 0 || len(body)/stayRecord > maxSessions {
		return errStays
	}
	if crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return errStays
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for body = body[:len(body)-4]; len(body) > 0; body = body[stayRecord:] {
		r := body[:stayRecord]
		number := func(i int) int64 { return int64(binary.BigEndian.Uint64(r[65+8*i:])) }
		s := &stay{
			key: stayKey(r[:16]), owner: tag(r[16:32]), edge: identity.ID(r[32:64]), hard: r[64]&flagHard != 0, kept: true,
			ends: time.UnixMilli(number(0)), used: now,
		}
		if gone := number(2); gone != 0 {
			s.gone = time.UnixMilli(gone)
		}
		if idle := number(3); idle > 0 && idle <= maxSession.Milliseconds() {
			s.idle = time.Duration(idle) * time.Millisecond
		}
		if s.edge.IsZero() || s.ends.After(now.Add(maxSession)) || s.over(now) || t.all[s.key] != nil {
			continue
		}
		if err := t.makeRoom(s.owner, now); err != nil {
			continue
		}
		t.begin(s)
	}
	t.dirty = false
	return nil
}

// keepStays writes the sessions down when there are new ones, or whatever there is at the end.
func (r *Relay) keepStays(_ context.Context) error {
	r.stays.sweep()
	r.stays.mu.Lock()
	dirty := r.stays.dirty
	r.stays.mu.Unlock()
	if r.cfg.Sessions == "" || !dirty {
		return nil
	}
	if err := daemon.WriteFile(r.cfg.Sessions, r.stays.snapshot(), 0o600); err != nil {
		r.stays.mu.Lock()
		r.stays.dirty = true // they are written the next time
		r.stays.mu.Unlock()
		return fmt.Errorf("keep sessions: %w", err)
	}
	return nil
}

// recallStays reads what an earlier run has kept. A file that is no good costs the sessions in it, and no start.
func (r *Relay) recallStays() {
	if r.cfg.Sessions == "" {
		return
	}
	b, err := os.ReadFile(r.cfg.Sessions)
	if err == nil {
		err = r.stays.restore(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.cfg.Log.Warn("the sessions of the last run are lost", "err", err)
	}
}
