package warc

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Summary is what a file holds, by Check's count.
type Summary struct {
	Records  int
	Types    map[string]int // records of each type
	Payload  int64          // bytes of all responses' bodies
	From, To time.Time      // of the exchanges
	Outside  int            // records that refer to one in another file
	Problems int
}

// Check reads a whole file and calls problem for everything that is wrong with it: records that are malformed or do not
// match their digests, lengths that are not what their header says, names used twice, and references that lead nowhere.
// It goes on after each, and its own error is that of a file that cannot be read to its end.
func Check(r io.Reader, problem func(offset int64, err error)) (Summary, error) {
	c := checker{
		problem: problem, seen: make(map[[16]byte]bool), wanted: make(map[[16]byte]int64),
		Summary: Summary{Types: make(map[string]int)},
	}
	err := walk(r, func(rec Record, err error) error {
		c.Records++
		if err != nil {
			c.found(rec.Offset, err)
			return nil
		}
		c.record(rec)
		return nil
	})
	for id, offset := range c.wanted {
		if !c.seen[id] {
			c.found(offset, errors.New("it accompanies a record that is not in the file"))
		}
	}
	if err == nil && c.Records == 0 {
		err = fmt.Errorf("read WARC file: it is empty: %w", io.ErrUnexpectedEOF)
	}
	return c.Summary, err
}

// checker holds names as half of their SHA-256: a file has millions.
type checker struct {
	Summary
	problem func(offset int64, err error)
	seen    map[[16]byte]bool
	wanted  map[[16]byte]int64 // by whom
}

func (c *checker) found(offset int64, err error) {
	c.Problems++
	c.problem(offset, err)
}

func brief(id string) [16]byte {
	sum := sha256.Sum256([]byte(strings.Trim(id, "<>")))
	return [16]byte(sum[:16])
}

func (c *checker) record(r Record) {
	c.Types[r.Type]++
	if c.Records == 1 && r.Type != "warcinfo" {
		c.found(r.Offset, fmt.Errorf("the file starts with a %s, not with its warcinfo", r.Type))
	}
	id := brief(r.ID)
	if c.seen[id] {
		c.found(r.Offset, fmt.Errorf("the name %s is used twice", r.ID))
	}
	c.seen[id] = true
	if other := r.Fields.Get("WARC-Concurrent-To"); other != "" && !c.seen[brief(other)] {
		c.wanted[brief(other)] = r.Offset
	}
	if other := r.Fields.Get("WARC-Refers-To"); other != "" && !c.seen[brief(other)] {
		c.Outside++
	}
	if err := r.check(); err != nil {
		c.found(r.Offset, err)
	}
	if r.Type != "response" && r.Type != "revisit" {
		return
	}
	_, body := r.Payload()
	c.Payload += int64(len(body))
	if c.From.IsZero() || r.Date.Before(c.From) {
		c.From = r.Date
	}
	if r.Date.After(c.To) {
		c.To = r.Date
	}
}

// check holds what a record's type demands.
func (r Record) check() error {
	switch r.Type {
	case "response", "revisit", "request", "conversion", "resource":
		if r.URL == "" {
			return fmt.Errorf("a %s without WARC-Target-URI", r.Type)
		}
	}
	switch r.Type {
	case "response":
		if err := r.checkPayload(); err != nil {
			return err
		}
		return r.checkLength()
	case "revisit":
		if r.Fields.Get("WARC-Profile") == "" {
			return errors.New("a revisit without WARC-Profile")
		}
		if r.Fields.Get("WARC-Profile") == sameDigest && r.Fields.Get("WARC-Payload-Digest") == "" {
			return errors.New("a revisit by digest without WARC-Payload-Digest")
		}
	case "conversion":
		if r.Fields.Get("WARC-Refers-To") == "" {
			return errors.New("a conversion that does not say of what")
		}
	}
	return nil
}

// checkLength holds the archived HTTP header against the archived payload: a replayer believes it.
func (r Record) checkLength() error {
	header, body := r.Payload()
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(header)), nil)
	if err != nil {
		return fmt.Errorf("%w: HTTP header: %w", ErrMalformed, err)
	}
	answer.Body.Close()
	says := answer.Header.Get("Content-Length")
	if says == "" || r.Fields.Get("WARC-Truncated") != "" {
		return nil
	}
	if n, err := strconv.Atoi(says); err != nil || n != len(body) {
		return fmt.Errorf("%w: its HTTP header says %.20q bytes, the payload has %d", ErrMalformed, says, len(body))
	}
	return nil
}
