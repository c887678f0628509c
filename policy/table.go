package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a table, so that one from the hub costs an edge no more than this.
const (
	maxTableEntries  = 600_000 // seven bytes each: the hub answers with eight MiB at most, and the table travels in base64
	maxTableNames    = 64      // categories
	maxTableName     = 40      // bytes of a category's name or of a version
	tableMagic       = "sward/lists/v1\n"
	keySize          = 6 // of a digest: two of half a million names meet in one of a thousand tables, and a stranger's name meets one in 280 million tries
	tableTrailerSize = sha256.Size

	// MaxTable bounds a table in bytes.
	MaxTable = maxTableEntries*(keySize+1) + 8<<10
)

// Table is a set of lists in the form in which it travels and stays in memory: the sorted digests of what the lists name, seven
// bytes each, and no text. A table that is part of the program costs memory only where it is looked at.
//
// In bytes: the magic, the version, the number of categories and their names (each text behind its length, one byte), the
// number of entries (four bytes), the keys ascending, a category for each key (one byte), SHA-256 of all that.
type Table struct {
	version string
	names   []string
	bits    []uint32 // of names
	keys    string
	of      string // the category of each key
	digest  [sha256.Size]byte
}

// BuildTable makes a table of lists: category → lines. A line is a domain ("example.com" with all below it), a top-level
// domain (".gov"), a second-level label under any country ("gov.*"), or a first label of any name of three labels or more
// ("webmail.**"). # begins a comment. The error names the list and the line.
func BuildTable(version string, lists map[string]string) ([]byte, error) {
	if len(version) > maxTableName || len(lists) > maxTableNames {
		return nil, fmt.Errorf("%d lists of version %.60q are more than a table holds", len(lists), version)
	}
	var names []string
	for name := range lists {
		if !isCategory(name) {
			return nil, fmt.Errorf("%.60q is no name of a list: it has letters a to z, digits and hyphens, at most %d", name, maxTableName)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	out := appendText([]byte(tableMagic), version)
	out = append(out, byte(len(names)))
	type entry struct {
		key [keySize]byte
		of  byte
	}
	var entries []entry
	for i, name := range names {
		out = appendText(out, name)
		n := 0
		for line := range strings.Lines(lists[name]) {
			n++
			form, err := canonicalLine(line)
			if err != nil {
				return nil, fmt.Errorf("list %s, line %d: %w", name, n, err)
			}
			if form != "" {
				entries = append(entries, entry{keyOf([]byte(form)), byte(i)}) //nolint:gosec // at most maxTableNames
			}
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if c := bytes.Compare(a.key[:], b.key[:]); c != 0 {
			return c
		}
		return int(a.of) - int(b.of)
	})
	entries = slices.Compact(entries)
	if len(entries) > maxTableEntries {
		return nil, fmt.Errorf("%d entries, at most %d", len(entries), maxTableEntries)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(entries))) //nolint:gosec // bounded above
	for _, e := range entries {
		out = append(out, e.key[:]...)
	}
	for _, e := range entries {
		out = append(out, e.of)
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// isCategory tells whether a list may have this name, which is also that of a file.
func isCategory(name string) bool {
	return name != "" && len(name) <= maxTableName && name == strings.Trim(name, "-") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// errLine explains the shapes a line may have.
var errLine = errors.New(`a line is "example.com", ".gov", "gov.*" or "webmail.**"`)

// canonicalLine is what is looked up for a line; empty for one that says nothing.
func canonicalLine(line string) (string, error) {
	line, _, _ = strings.Cut(line, "#")
	if line = strings.TrimSpace(line); line == "" {
		return "", nil
	}
	name, tail := line, ""
	for _, t := range []string{".**", ".*"} {
		if rest, ok := strings.CutSuffix(line, t); ok {
			name, tail = rest, t
			break
		}
	}
	if tail == "" {
		name = strings.TrimPrefix(name, ".")
	}
	name, err := parseSuffix(name)
	if err != nil || tail != "" && strings.Contains(name, ".") {
		return "", errLine
	}
	return name + tail, nil
}

// keyOf is how a name is kept.
func keyOf(form []byte) [keySize]byte {
	sum := sha256.Sum256(form)
	return [keySize]byte(sum[:keySize])
}

var errTable = errors.New("this is no table of lists, or it is damaged")

// ParseTable reads what BuildTable made, in full: its digest and its order too.
func ParseTable(data []byte) (*Table, error) {
	if len(data) > MaxTable || len(data) < tableTrailerSize {
		return nil, errTable
	}
	body := data[:len(data)-tableTrailerSize]
	if sha256.Sum256(body) != [sha256.Size]byte(data[len(body):]) {
		return nil, errTable
	}
	t, err := readTable(string(data))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(t.of); i++ {
		if int(t.of[i]) >= len(t.names) || i > 0 && t.key(i-1) > t.key(i) {
			return nil, errTable
		}
	}
	return t, nil
}

// readTable takes data apart without looking at its entries.
func readTable(data string) (*Table, error) {
	rest, ok := strings.CutPrefix(data, tableMagic)
	text := func() (s string) {
		if ok = ok && len(rest) > 0 && len(rest) > int(rest[0]) && rest[0] <= maxTableName; !ok {
			return ""
		}
		s, rest = rest[1:1+int(rest[0])], rest[1+int(rest[0]):]
		return s
	}
	t := &Table{version: text()}
	if !ok || rest == "" || rest[0] > maxTableNames {
		return nil, errTable
	}
	count := int(rest[0])
	rest = rest[1:]
	for range count {
		name := text()
		if !ok || !isCategory(name) {
			return nil, errTable
		}
		t.names = append(t.names, name)
		t.bits = append(t.bits, bitOf(name))
	}
	if len(rest) < 4+tableTrailerSize {
		return nil, errTable
	}
	n := int(binary.BigEndian.Uint32([]byte(rest[:4])))
	if rest = rest[4:]; n > maxTableEntries || len(rest) != n*(keySize+1)+tableTrailerSize {
		return nil, errTable
	}
	t.keys, t.of = rest[:n*keySize], rest[n*keySize:n*(keySize+1)]
	t.digest = [sha256.Size]byte([]byte(rest[n*(keySize+1):]))
	return t, nil
}

// Version is the one that BuildTable was told.
func (t *Table) Version() string { return t.version }

// Digest identifies the table: it is the last part of its bytes.
func (t *Table) Digest() [sha256.Size]byte { return t.digest }

// Len is how many entries there are.
func (t *Table) Len() int { return len(t.of) }

func (t *Table) key(i int) string { return t.keys[i*keySize : (i+1)*keySize] }

// find calls yield with each category of a key.
func (t *Table) find(key [keySize]byte, yield func(category int)) {
	lo, hi := 0, t.Len()
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); t.key(mid) < string(key[:]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < t.Len() && t.key(lo) == string(key[:]); lo++ {
		yield(int(t.of[lo]))
	}
}
