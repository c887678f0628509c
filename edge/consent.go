package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"sward/policy"
)

// consentTemplate is what an owner must have read. Its hash is what they agree to and what travels in every
// channel; the numbers filled in are theirs to change without being asked again.
//
//go:embed consent.md
var consentTemplate string

var consentPage = template.Must(template.New("consent").Parse(consentTemplate))

// ConsentPhrase is what an owner types to agree. It cannot be pressed by accident.
const ConsentPhrase = "I agree"

// Ways to agree. There is no third: no flag and no environment variable, so that nobody can be signed up by a
// script that somebody else runs on their machine.
const (
	ConsentTyped = "typed" // the phrase, at a terminal, under the text
	ConsentCode  = "code"  // a code that the owner got from their account and entered here
)

// ErrNoConsent says that the owner has not agreed to the current text.
var ErrNoConsent = errors.New("the owner has not agreed to the current terms")

const consentFile = "consent.json"

// Consent is the record of an agreement.
type Consent struct {
	Hash string    `json:"hash"` // ConsentHash in hexadecimal
	When time.Time `json:"when"`
	How  string    `json:"how"` // ConsentTyped or ConsentCode
}

// ConsentHash identifies the text.
func ConsentHash() [32]byte { return sha256.Sum256([]byte(consentTemplate)) }

// ConsentText is the text with the owner's own numbers, in Markdown that reads well as it is.
func ConsentText(c FileConfig) string {
	rules := c.Policy
	hours := "at any hour"
	if len(rules.Hours) > 0 {
		hours = "only in the hours you set"
	}
	var closed []string
	for _, name := range policy.Categories() {
		if rules.Categories[name] != policy.Allow {
			closed = append(closed, name)
		}
	}
	var out bytes.Buffer
	err := consentPage.Execute(&out, map[string]any{
		"Purposes":   orNone(joined(rules.Purposes)),
		"Categories": orNone(joined(closed)),
		"Ports":      strings.Trim(fmt.Sprint(rules.Ports), "[]"),
		"Keep":       keepText(c.KeepDays),
		"Refusals":   maxRefusals,
		"CapDay":     sizeOrNone(c.Caps.Day),
		"CapMonth":   sizeOrNone(c.Caps.Month),
		"Rate":       rateText(c.Rate),
		"Streams":    c.Streams,
		"Hours":      hours,
		"Abuse":      c.Abuse,
	})
	if err != nil {
		return consentTemplate // unreachable with a template that a test executes
	}
	return out.String()
}

// Agree records that the owner typed the phrase under the current text.
func Agree(dir string, now time.Time) error { return record(dir, ConsentTyped, now) }

// AgreeByCode redeems a code, which the hub's operator gave to the owner, for this edge and the current text, and
// records the agreement. It is the way for machines without a terminal: the code stands for the human who got it.
func AgreeByCode(ctx context.Context, dir string, hub HubClient, code string, now time.Time) error {
	if err := hub.Consent(ctx, code, ConsentHash()); err != nil {
		return fmt.Errorf("redeem the consent code: %w", err)
	}
	return record(dir, ConsentCode, now)
}

func record(dir, how string, now time.Time) error {
	hash := ConsentHash()
	data, err := json.MarshalIndent(Consent{Hash: hex.EncodeToString(hash[:]), When: now.UTC(), How: how}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode consent: %w", err)
	}
	return writeFile(filepath.Join(dir, consentFile), append(data, '\n'))
}

// Agreed tells whether the owner of the edge in dir has agreed to the current text. No record, or one for another text,
// is false; the error says that a record cannot be read.
func Agreed(dir string) (bool, error) {
	switch _, err := ReadConsent(dir); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrNoConsent):
		return false, nil
	default:
		return false, err
	}
}

// ReadConsent returns the record of the owner's agreement to the current text. The error is ErrNoConsent when there is
// none, or only one for another text.
func ReadConsent(dir string) (Consent, error) {
	path := filepath.Join(dir, consentFile)
	data, err := readFile(path)
	if err != nil {
		return Consent{}, err
	}
	if data == nil {
		return Consent{}, ErrNoConsent
	}
	var c Consent
	if err := json.Unmarshal(data, &c); err != nil {
		return Consent{}, fmt.Errorf("%s is damaged; delete it and agree again", path)
	}
	if hash := ConsentHash(); c.Hash != hex.EncodeToString(hash[:]) {
		return Consent{}, fmt.Errorf("%w: they have changed since %s", ErrNoConsent, c.When.Format(time.DateOnly))
	}
	return c, nil
}

func joined[S ~string](items []S) string {
	out := make([]string, len(items))
	for i, s := range items {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func keepText(days int) string {
	switch days {
	case 0:
		return "not kept at all"
	case 1:
		return "kept for the day"
	}
	return fmt.Sprintf("kept %d days", days)
}

func sizeOrNone(s policy.Size) string {
	if s == 0 {
		return "No limit"
	}
	return s.String()
}

func rateText(r Rate) string {
	if r.Up == 0 && r.Down == 0 {
		return "as fast as the line goes"
	}
	return fmt.Sprintf("%s/s up and %s/s down (0: no limit)", r.Up, r.Down)
}
