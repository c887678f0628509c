package diary

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"

	"sward/policy"
)

// A record is the sum of one line at the time of writing: a later record of the same line replaces an earlier one, so
// that a lost record is healed by the next. All integers are big-endian.
//
//	streams u64 | up u64 | down u64 | four texts, each a length byte and its bytes: site, category, purpose, app | zeros
const (
	recordsSuffix = ".v1" // the version of this layout

	sealedBytes = 320 // of a record on disk
	overhead    = 28  // AES-GCM with a random nonce: 12 bytes nonce, 16 bytes tag
	plainBytes  = sealedBytes - overhead
	keyBytes    = 32 // AES-256

	// Bytes of the texts. A registrable domain is a label of 63 and a public suffix, the longest of which has some 60; what
	// is longer is cut.
	maxSite      = 160
	maxShortText = 33

	domain = "sward/diary/v1/" // binds a record to its day
)

var errRecord = errors.New("not a record of this day")

// sealer opens and seals the records of one day.
type sealer struct {
	aead cipher.AEAD
	day  string
}

func newSealer(dayKey []byte, day string) (*sealer, error) {
	block, err := aes.NewCipher(dayKey)
	if err != nil {
		return nil, err
	}
	// A day writes a record per changed line every few seconds: far below the 2³² messages that random nonces bear.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead, day}, nil
}

// seal appends l as a record of sealedBytes.
func (s *sealer) seal(to []byte, l Line) []byte {
	return s.aead.Seal(to, nil, appendLine(make([]byte, 0, plainBytes), l), []byte(domain+s.day))
}

func (s *sealer) open(record []byte) (Line, error) {
	plain, err := s.aead.Open(nil, nil, record, []byte(domain+s.day))
	if err != nil {
		return Line{}, errRecord
	}
	return parseLine(plain, s.day)
}

func appendLine(b []byte, l Line) []byte {
	for _, n := range []int64{l.Streams, l.Up, l.Down} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	text := func(s string, limit int) {
		s = s[:min(len(s), limit)]
		b = append(append(b, byte(len(s))), s...)
	}
	text(l.Site, maxSite)
	text(l.Category, maxShortText)
	text(string(l.Purpose), maxShortText)
	text(string(l.App), maxShortText)
	return b[:plainBytes] // made of zeros
}

func parseLine(b []byte, day string) (Line, error) {
	if len(b) != plainBytes {
		return Line{}, errRecord
	}
	number := func() int64 {
		n := int64(binary.BigEndian.Uint64(b))
		b = b[8:]
		return n
	}
	l := Line{Day: day, Streams: number(), Up: number(), Down: number()}
	var texts [4]string
	for i := range texts {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return Line{}, errRecord
		}
		end := 1 + int(b[0])
		texts[i], b = string(b[1:end]), b[end:]
	}
	l.Site, l.Category, l.Purpose, l.App = texts[0], texts[1], policy.Purpose(texts[2]), policy.App(texts[3])
	return l, nil
}
