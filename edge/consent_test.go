package edge

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsentTextSaysWhatItMust(t *testing.T) {
	c := DefaultFileConfig()
	c.Caps.Day = 7e9
	text := ConsentText(c)
	for _, want := range []string{
		"leave from your Internet address", "police", // 1
		"search-index", "banking", "gambling", "80 443", // 2
		"What is recorded", "kept 30 days", "encrypted", // 3
		"7GB a day", "200GB a month", "64 connections", "at any hour", // 4
		"What you earn",        // 5
		"CAPTCHAs", "employer", // 6
		"Pause", "delete everything", // 7
		"abuse@", // 8
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q", want)
		}
	}
	for _, bad := range []string{"{{", "<no value>", "security-research"} {
		if strings.Contains(text, bad) {
			t.Errorf("the text contains %q", bad)
		}
	}
	before := ConsentHash()
	c.Caps.Day = 1
	if ConsentText(c); ConsentHash() != before {
		t.Error("the hash depends on the owner's numbers")
	}
}

func TestConsentIsForOneText(t *testing.T) {
	dir := t.TempDir()
	if ok, err := Agreed(dir); ok || err != nil {
		t.Errorf("without a record: got %v, %v; want false", ok, err)
	}
	if err := Agree(dir, noon); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConsent(dir)
	if err != nil || c.How != ConsentTyped || !c.When.Equal(noon) {
		t.Errorf("the record reads %+v, %v; want typed at %s", c, err, noon)
	}
	c.Hash = strings.Repeat("00", 32)
	write(t, filepath.Join(dir, consentFile), mustJSON(t, c))
	if _, err := ReadConsent(dir); !errors.Is(err, ErrNoConsent) {
		t.Errorf("a record for another text: got %v, want %v", err, ErrNoConsent)
	}
	write(t, filepath.Join(dir, consentFile), []byte("{"))
	if ok, err := Agreed(dir); ok || err == nil {
		t.Errorf("a damaged record: got %v, %v; want an error", ok, err)
	}
}

func TestAConsentCodeWorksOnce(t *testing.T) { // H09
	hub := &testHub{codes: map[string]bool{"CODE": true}}
	dir := t.TempDir()
	if err := AgreeByCode(t.Context(), dir, hub, "GUESS", noon); err == nil {
		t.Error("a guessed code was taken")
	}
	if ok, _ := Agreed(dir); ok {
		t.Error("a refused code left an agreement")
	}
	if err := AgreeByCode(t.Context(), dir, hub, "CODE", noon); err != nil {
		t.Fatal(err)
	}
	if c, err := ReadConsent(dir); err != nil || c.How != ConsentCode {
		t.Errorf("the record reads %+v, %v; want by code", c, err)
	}
	if err := AgreeByCode(t.Context(), t.TempDir(), hub, "CODE", noon); err == nil {
		t.Error("the code worked twice")
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
