package crawler

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"

	"sward/crawler/text"
	"sward/internal/wire"
)

// What a job does with a page whose text it has delivered under another address already.
const (
	dedupeMark  = "mark"  // deliver it, and name the first
	dedupeExact = "exact" // leave out what has the same text
	dedupeNear  = "near"  // and what has nearly the same
)

// Names of failures that are a partner's wish.
const (
	codeSameText = "duplicate_exact"
	codeNearText = "duplicate_near"
)

const (
	// minNearWords is below what a simhash can tell: three-word shingles of a sentence are too few votes for 64 bits.
	minNearWords = 16
	// maxTwins is how many texts of one band are compared. Only texts that are no duplicates of one another are kept, so
	// that a site's common phrases, and nothing worse, fill a band.
	maxTwins = 500
)

// likeness is what a page's text is compared by.
type likeness struct {
	url     string   // the document's
	sum     [32]byte // of the normalised text, or of the body where there is no text
	simhash uint64
	words   int
}

// newLikeness reads a text once. White space and the spelling of accents are no difference.
func newLikeness(url, plain string, body [32]byte) *likeness {
	words := strings.Fields(norm.NFC.String(plain))
	l := &likeness{url: url, sum: body, words: len(words)}
	if len(words) > 0 {
		l.sum = sha256.Sum256([]byte(strings.Join(words, " ")))
		l.simhash = text.Simhash(plain)
	}
	return l
}

// bands are the four quarters of the simhash, from the lowest, or NULLs.
func (l *likeness) bands() (four [4]any) {
	if l.words < minNearWords {
		return four
	}
	for i := range four {
		four[i] = int64(l.simhash >> (16 * i) & 0xffff)
	}
	return four
}

// twin finds the first page of the job that has l's text, or nearly so. Code is empty if there is none.
func (t *tx) twin(job int64, l *likeness) (url, code string, err error) {
	err = t.query("SELECT url FROM texts WHERE job = ? AND content = ? ORDER BY id LIMIT 1", job, l.sum[:]).Scan(&url)
	if err == nil {
		return url, codeSameText, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return "", "", fmt.Errorf("look for the same text: %w", err)
	}
	first := int64(0)
	for i, band := range l.bands() {
		if band == nil {
			break
		}
		id, at, err := t.nearest(fmt.Sprintf("SELECT id, url, simhash FROM texts WHERE job = ? AND band%d = ? ORDER BY id LIMIT ?", i), job, band, l.simhash)
		if err != nil {
			return "", "", err
		}
		if id != 0 && (first == 0 || id < first) {
			first, url, code = id, at, codeNearText
		}
	}
	return url, code, nil
}

// nearest is the first text of a band that differs in few enough bits.
func (t *tx) nearest(query string, job int64, band any, simhash uint64) (id int64, url string, err error) {
	rows, err := t.list(query, job, band, maxTwins)
	if err != nil {
		return 0, "", fmt.Errorf("look for nearly the same text: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var other int64
		if err := rows.Scan(&id, &url, &other); err != nil {
			return 0, "", fmt.Errorf("look for nearly the same text: %w", err)
		}
		if text.Hamming(simhash, uint64(other)) <= text.NearDuplicate {
			return id, url, nil
		}
	}
	return 0, "", rows.Err()
}

// dedupe looks whether the job has o's text already, and marks the document or has it left out. It runs in the
// transaction that delivers, so that of two equal pages that arrive together one is the first.
func (t *tx) dedupe(o *outcome) error {
	if o.fate != deliver || o.likeness == nil || o.job.kind == Scrape {
		return nil
	}
	url, code, err := t.twin(o.job.id, o.likeness)
	if err != nil || code == "" {
		return err
	}
	mode := o.job.order.Dedupe
	if mode == dedupeNear || mode == dedupeExact && code == codeSameText {
		o.fate, o.code, o.owner = fail, code, wire.OwnerClient
		o.detail = "the job has this text from " + url
		return nil
	}
	o.likeness = nil // the first stands for all
	o.document = markDuplicate(o.document, url, strings.TrimPrefix(code, "duplicate_"))
	return nil
}

// keepText notes the text of a document that is no duplicate.
func (t *tx) keepText(o *outcome) error {
	l := o.likeness
	if o.fate != deliver || l == nil || o.job.kind == Scrape {
		return nil
	}
	four := l.bands()
	_, err := t.do("INSERT INTO texts (job, url, content, simhash, band0, band1, band2, band3) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		o.job.id, l.url, l.sum[:], int64(l.simhash), four[0], four[1], four[2], four[3])
	return err
}

// provenanceKey opens the provenance in a document's JSON. Inside a string its quotes would be escaped, so that no page
// can write it.
const provenanceKey = `"provenance":{`

// markDuplicate adds to a document what is known only when it is settled. To parse and write megabytes again, inside the
// one transaction that everybody waits for, would be a waste.
func markDuplicate(document []byte, url, kind string) []byte {
	at := bytes.Index(document, []byte(provenanceKey))
	if at < 0 {
		return document
	}
	name, _ := json.Marshal(url) // a string: cannot fail
	at += len(provenanceKey)
	return fmt.Appendf(nil, `%s"duplicateOf":%s,"duplicateKind":%q,%s`, document[:at], name, kind, document[at:])
}
