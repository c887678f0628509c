package policy

import (
	"slices"
	"testing"
)

func TestClassIsTheMostSpecificListOrOther(t *testing.T) {
	for host, want := range map[string]string{
		"example.com": ClassOther, "gov.example": ClassOther, "notgov.uk": ClassOther, "8.8.8.8": ClassOther,
		"www.service.gov.uk": "government", "whitehouse.gov": "government", "un.org": "government",
	} {
		h, err := ParseHost(host)
		if err != nil {
			t.Fatal(err)
		}
		got := ClassOf(h)
		if got != want {
			t.Errorf("class of %s = %s, want %s", host, got, want)
		}
		if !slices.Contains(Classes(), got) {
			t.Errorf("class %s of %s is not one of %v", got, host, Classes())
		}
	}
}
