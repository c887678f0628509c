package dashboard

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sward/internal/daemon"
)

const (
	sessionsFile  = "dashboard.json"
	maxSessions   = 16                  // browsers signed in at once; the oldest gives way
	sessionLife   = 90 * 24 * time.Hour // since it was last renewed
	sessionRenew  = 24 * time.Hour      // how often use renews it: each renewal is a write to disk
	maxSessionLen = 64 << 10            // bytes of the file

	codeLife   = 2 * time.Minute
	codeTries  = 5
	codeDigits = 8 // five guesses at one in a hundred million, for two minutes
)

// Why a code does not sign in.
var (
	errNoCode    = errors.New("there is no code to sign in with, or its two minutes are over; ask for a new one")
	errWrongCode = errors.New("that is not the code")
)

// sessions are the browsers that the owner has let in. One is let in by a code, which works once and soon ends; it keeps a
// secret from then on, of which the disk has only a hash, so that a restart does not send the owner for a new code.
type sessions struct {
	path  string
	clock func() time.Time

	mu       sync.Mutex
	code     string
	codeEnds time.Time
	tries    int
	ends     map[string]time.Time // hash of the secret → when it is over
}

// openSessions reads who was signed in. A damaged file signs everybody out: nothing else depends on it.
func openSessions(dir string, clock func() time.Time) *sessions {
	s := &sessions{path: filepath.Join(dir, sessionsFile), clock: clock, ends: map[string]time.Time{}}
	if info, err := os.Stat(s.path); err == nil && info.Size() <= maxSessionLen {
		if data, err := os.ReadFile(s.path); err == nil && json.Unmarshal(data, &s.ends) != nil || s.ends == nil {
			s.ends = map[string]time.Time{}
		}
	}
	return s
}

// invite makes a code, in place of the one before.
func (s *sessions) invite() (code string, ends time.Time) {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(codeDigits), nil)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic(err) // never: crypto/rand does not fail
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.codeEnds, s.tries = fmt.Sprintf("%0*d", codeDigits, n), s.clock().Add(codeLife), 0
	return s.code, s.codeEnds
}

// redeem gives the secret of a new session for the code, which then is used up, as it is after five wrong ones.
func (s *sessions) redeem(code string) (secret string, err error) {
	code = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if s.code == "" || !now.Before(s.codeEnds) {
		return "", errNoCode
	}
	s.tries++
	right := subtle.ConstantTimeCompare([]byte(code), []byte(s.code)) == 1
	if right || s.tries == codeTries {
		s.code = ""
	}
	if !right {
		return "", errWrongCode
	}
	for hash, ends := range s.ends {
		if !now.Before(ends) {
			delete(s.ends, hash)
		}
	}
	if len(s.ends) >= maxSessions {
		delete(s.ends, s.oldestLocked())
	}
	secret = rand.Text()
	s.ends[hashOf(secret)] = now.Add(sessionLife)
	return secret, s.saveLocked()
}

func (s *sessions) oldestLocked() (oldest string) {
	for hash, ends := range s.ends {
		if oldest == "" || ends.Before(s.ends[oldest]) {
			oldest = hash
		}
	}
	return oldest
}

// knows tells whether the secret is that of a session, and whether it was renewed just now.
func (s *sessions) knows(secret string) (known, renewed bool) {
	hash := hashOf(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	ends, ok := s.ends[hash]
	if !ok || !now.Before(ends) {
		return false, false
	}
	if ends.Sub(now) > sessionLife-sessionRenew {
		return true, false
	}
	s.ends[hash] = now.Add(sessionLife)
	return true, s.saveLocked() == nil
}

// forget signs one browser out.
func (s *sessions) forget(secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ends, hashOf(secret))
	return s.saveLocked()
}

func (s *sessions) saveLocked() error {
	data, err := json.Marshal(s.ends)
	if err != nil {
		return fmt.Errorf("encode sessions: %w", err)
	}
	if err := daemon.WriteFile(s.path, data, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// hashOf is enough for a secret of 130 random bits: nobody can guess what gives it.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
