package dashboard

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wrongOf is a code of the right form that is not the given one.
func wrongOf(code string) string {
	return string('0'+(code[0]-'0'+1)%10) + code[1:]
}

func TestACodeBearsFiveGuessesAndTwoMinutes(t *testing.T) { // L11
	now := noon
	s := openSessions(t.TempDir(), func() time.Time { return now })
	if _, err := s.redeem(""); !errors.Is(err, errNoCode) {
		t.Errorf("with no code made, an empty one: got %v, want %v", err, errNoCode)
	}
	code, ends := s.invite()
	if len(code) != codeDigits || strings.Trim(code, "0123456789") != "" || ends.Sub(now) != 2*time.Minute {
		t.Errorf("code %q until %v: want eight digits for two minutes", code, ends)
	}
	for range 5 {
		if _, err := s.redeem(wrongOf(code)); !errors.Is(err, errWrongCode) {
			t.Errorf("a wrong code: got %v, want %v", err, errWrongCode)
		}
	}
	if _, err := s.redeem(code); !errors.Is(err, errNoCode) {
		t.Errorf("the right code after five wrong ones: got %v, want %v", err, errNoCode)
	}
	code, _ = s.invite()
	now = now.Add(2 * time.Minute)
	if _, err := s.redeem(code); !errors.Is(err, errNoCode) {
		t.Errorf("after two minutes: got %v, want %v", err, errNoCode)
	}
	code, _ = s.invite()
	if _, err := s.redeem(wrongOf(code)); !errors.Is(err, errWrongCode) {
		t.Errorf("a wrong code: got %v, want %v", err, errWrongCode)
	}
	if _, err := s.redeem(code[:4] + "-" + code[4:]); err != nil {
		t.Errorf("the right code at the second try: %v", err)
	}
	if _, err := s.redeem(code); !errors.Is(err, errNoCode) {
		t.Errorf("the same code again: got %v, want %v", err, errNoCode)
	}
}

func TestSessionsOutliveARestartAndEnd(t *testing.T) {
	now, dir := noon, t.TempDir()
	clock := func() time.Time { return now }
	signIn := func(s *sessions) string {
		t.Helper()
		code, _ := s.invite()
		secret, err := s.redeem(code)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	first := openSessions(dir, clock)
	secret := signIn(first)
	again := openSessions(dir, clock)
	if known, renewed := again.knows(secret); !known || renewed {
		t.Errorf("after a restart: known %v, renewed %v; want known and not renewed yet", known, renewed)
	}
	now = now.Add(sessionLife - time.Hour)
	if known, renewed := again.knows(secret); !known || !renewed {
		t.Errorf("an hour before its end: known %v, renewed %v; want both", known, renewed)
	}
	now = now.Add(sessionLife)
	if known, _ := again.knows(secret); known {
		t.Error("a session lives on after its end")
	}
	secret = signIn(again)
	for range maxSessions {
		now = now.Add(time.Second)
		signIn(again)
	}
	if known, _ := again.knows(secret); known || len(again.ends) != maxSessions {
		t.Errorf("the oldest of %d sessions is known: %v; want %d without it", len(again.ends), known, maxSessions)
	}
	secret = signIn(again)
	if err := again.forget(secret); err != nil {
		t.Error(err)
	}
	if known, _ := again.knows(secret); known {
		t.Error("a browser that was signed out is known")
	}
	if err := os.WriteFile(filepath.Join(dir, sessionsFile), []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	signIn(openSessions(dir, clock))
}
