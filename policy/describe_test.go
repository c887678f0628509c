package policy

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryCategoryIsDescribed(t *testing.T) {
	if diff := cmp.Diff(Categories(), slices.Sorted(maps.Keys(descriptions))); diff != "" {
		t.Errorf("categories and their descriptions differ: %s", diff)
	}
}
