package policy

import (
	"slices"
	"strings"
	"sync"
)

// ClassOther is the class of a target that is on no list.
const ClassOther = "other"

var everyList = sync.OnceValue(func() (d domains) {
	d.categories, d.countries = closedLists(nil)
	return d
})

// ClassOf names the category of a host by the most specific list that holds it, or ClassOther. It is for statistics, which
// should tell little of a target: whether it may be reached is what [Policy.Check] says.
func ClassOf(h Host) string {
	lists := everyList()
	for suffix, more := h.Name(), h.Name() != ""; more; _, suffix, more = strings.Cut(suffix, ".") {
		if categories := lists.closed(suffix); len(categories) > 0 {
			return slices.Min(categories)
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
