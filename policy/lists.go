package policy

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
)

// Lists is which categories a name belongs to: the union of the tables that are part of the program and those that the hub
// adds. A table can add names to a category and never take one out, so that an addition only ever tightens.
type Lists struct {
	tables []*Table
}

// unknownBit is the category that this program does not know: it is closed, and no rule opens it.
const unknownBit = 1 << 31

// bitOf is a category's place among the closed ones.
func bitOf(name string) uint32 {
	if i, known := slices.BinarySearch(sortedCategories(), name); known {
		return 1 << i
	}
	return unknownBit
}

// builtInTables is how many there are: none of them holds a category that this program does not know.
const builtInTables = 2

// BuiltIn are the lists of the program.
var BuiltIn = sync.OnceValue(func() *Lists {
	return &Lists{tables: []*Table{curated(), easylist()}}
})

// With are these lists and a table more. A nil table adds nothing.
func (l *Lists) With(t *Table) *Lists {
	if t == nil {
		return l
	}
	return &Lists{tables: append(slices.Clip(slices.Clone(l.tables)), t)}
}

// Versions are those of the tables, the program's first.
func (l *Lists) Versions() []string {
	versions := make([]string, len(l.tables))
	for i, t := range l.tables {
		versions[i] = t.version
	}
	return versions
}

// digest identifies what the lists say.
func (l *Lists) digest() [sha256.Size]byte {
	h := sha256.New()
	for _, t := range l.tables {
		h.Write(t.digest[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// of is the set of categories that hold this very suffix of a name. whole says that it is the name itself.
func (l *Lists) of(suffix string, whole bool) (bits uint32) {
	l.each(suffix, whole, func(t *Table, i int) { bits |= t.bits[i] })
	return bits
}

// namesOf is of in words, sorted.
func (l *Lists) namesOf(suffix string, whole bool) (names []string) {
	l.each(suffix, whole, func(t *Table, i int) { names = append(names, t.names[i]) })
	slices.Sort(names)
	return slices.Compact(names)
}

// each visits what holds the suffix: written out, as second-level label under a country ("gov.*" holds gov.uk and gov.br,
// not gov.example), or as the first of three labels or more ("webmail.**" holds webmail.example.com, not webmail.com).
func (l *Lists) each(suffix string, whole bool, yield func(*Table, int)) {
	var space [maxName + len(".**")]byte
	visit := func(form []byte) {
		key := keyOf(form)
		for _, t := range l.tables {
			t.find(key, func(i int) { yield(t, i) })
		}
	}
	visit(append(space[:0], suffix...))
	label, rest, more := strings.Cut(suffix, ".")
	if more && len(rest) == 2 {
		visit(append(append(space[:0], label...), ".*"...))
	}
	if whole && strings.Contains(rest, ".") {
		visit(append(append(space[:0], label...), ".**"...))
	}
}
