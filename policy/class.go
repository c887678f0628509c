package policy

import (
	mathbits "math/bits"
	"slices"
	"strings"
)

// ClassOther is the class of a target that is on no list.
const ClassOther = "other"

// ClassOf names the category of a host by the most specific list that holds it, or ClassOther. It is for statistics, which
// should tell little of a target: whether it may be reached is what [Policy.Check] says.
func ClassOf(h Host) string {
	for suffix, more := h.Name(), h.Name() != ""; more; _, suffix, more = strings.Cut(suffix, ".") {
		if bits := BuiltIn().of(suffix, suffix == h.Name()); bits != 0 {
			return sortedCategories()[mathbits.TrailingZeros32(bits)]
		}
	}
	return ClassOther
}

// Classes are all that ClassOf may say, sorted.
func Classes() []string {
	all := append(Categories(), ClassOther)
	slices.Sort(all)
	return all
}
