package botauth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// The life of a key. Sites keep the directory for a day: a key is in it long before its first signature, and for a day after
// its last.
const (
	keyLife    = 60 * 24 * time.Hour
	keyAhead   = 14 * 24 * time.Hour // a new key is published so long before the old one expires
	keyOverlap = 2 * 24 * time.Hour  // and used from so long before on
	cacheLife  = 24 * time.Hour
)

// Ring is the crawler's keys: the one that signs, and the next. They are made as time passes, and kept in a file.
type Ring struct {
	file   string
	public string // https origin under which the directory is found
	now    func() time.Time

	mu   sync.Mutex
	keys []key // oldest first
}

type key struct {
	Seed    []byte    `json:"seed"` // of Ed25519: a secret
	Begins  time.Time `json:"begins"`
	Expires time.Time `json:"expires"`
}

// Open reads the keys in a file, which it makes if it is not there. public is the address under which the world finds the
// directory: an https origin.
func Open(file, public string, now func() time.Time) (*Ring, error) {
	if err := CheckPublic(public); err != nil {
		return nil, err
	}
	r := &Ring{file: file, public: public, now: now}
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open signing keys: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(b, &r.keys); err != nil {
			return nil, fmt.Errorf("open signing keys: %s: %w", file, err)
		}
	}
	for _, k := range r.keys {
		if len(k.Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("open signing keys: %s: a seed has %d bytes, not %d", file, len(k.Seed), ed25519.SeedSize)
		}
	}
	_, err = r.active()
	return r, err
}

// CheckPublic says what is wrong with a public address.
func CheckPublic(public string) error {
	u, err := url.Parse(public)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.String() != "https://"+u.Host {
		return fmt.Errorf("the public address %.80q is not an https origin such as https://hub.example", public)
	}
	return nil
}

// active is the key that signs now: the newest that has begun.
func (r *Ring) active() (key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if err := r.rotateLocked(now); err != nil {
		return key{}, err
	}
	best := r.keys[0]
	for _, k := range r.keys {
		if !k.Begins.After(now) {
			best = k
		}
	}
	return best, nil
}

// published are the keys of the directory: those that have not expired.
func (r *Ring) published() ([]key, error) {
	if _, err := r.active(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys), nil
}

// rotateLocked drops what has expired and makes what will be needed.
func (r *Ring) rotateLocked(now time.Time) error {
	keys := slices.DeleteFunc(slices.Clone(r.keys), func(k key) bool { return !k.Expires.After(now) })
	begins := now
	if n := len(keys); n > 0 {
		if begins = keys[n-1].Expires.Add(-keyOverlap); keys[n-1].Expires.Sub(now) > keyAhead {
			if len(keys) != len(r.keys) {
				return r.saveLocked(keys)
			}
			return nil
		}
	}
	begins = begins.Truncate(time.Second)
	fresh := key{Seed: make([]byte, ed25519.SeedSize), Begins: begins, Expires: begins.Add(keyLife)}
	if begins.Before(now.Add(-keyLife / 2)) { // the hub was away for a long time
		fresh.Begins, fresh.Expires = now, now.Add(keyLife)
	}
	if _, err := rand.Read(fresh.Seed); err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	return r.saveLocked(append(keys, fresh))
}

// saveLocked keeps keys on disk before anything is signed with them.
func (r *Ring) saveLocked(keys []key) error {
	b, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return fmt.Errorf("save signing keys: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(r.file), ".keys-*") // readable by us alone
	if err != nil {
		return fmt.Errorf("save signing keys: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(b)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), r.file)
	}
	if err != nil {
		return fmt.Errorf("save signing keys: %w", err)
	}
	r.keys = keys
	return nil
}
