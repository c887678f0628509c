package policy

import (
	"crypto/sha256"
	"embed"
	"path"
	"slices"
	"strings"
	"sync"
)

// The lists are small and name the places where a stranger's request does most harm to the owner;
// they are a floor, not a web filter. One file per category: "#" starts a comment, and a line is a
// domain ("example.com" with all below it), a top-level domain (".gov"), or a second-level label
// under any country code ("gov.*"). A change of a list changes every policy's digest.
//
//go:embed categories/*.txt
var categoryFiles embed.FS

// category is one parsed list.
type category struct {
	name      string
	suffixes  []string
	countries []string
}

var loadCategories = sync.OnceValues(func() ([]category, [32]byte) {
	entries, _ := categoryFiles.ReadDir("categories") // embedded: present or the build failed
	var out []category
	h := sha256.New()
	for _, e := range entries { // ReadDir sorts by name
		text, _ := categoryFiles.ReadFile(path.Join("categories", e.Name()))
		h.Write(text)
		out = append(out, parseCategory(strings.TrimSuffix(e.Name(), ".txt"), string(text)))
	}
	return out, [32]byte(h.Sum(nil))
})

func parseCategory(name, text string) category {
	c := category{name: name}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if label, ok := strings.CutSuffix(line, ".*"); ok {
			c.countries = append(c.countries, label)
		} else if line != "" {
			c.suffixes = append(c.suffixes, strings.TrimPrefix(line, "."))
		}
	}
	return c
}

// Categories lists the names of the built-in categories, sorted.
func Categories() []string {
	cats, _ := loadCategories()
	out := make([]string, len(cats))
	for i, c := range cats {
		out[i] = c.name
	}
	slices.Sort(out)
	return out
}

func categoryDigest() [32]byte {
	_, d := loadCategories()
	return d
}

// closedLists merges the categories that verdicts does not open.
func closedLists(verdicts map[string]Verdict) (suffixes, countries map[string][]string) {
	suffixes, countries = map[string][]string{}, map[string][]string{}
	cats, _ := loadCategories()
	for _, c := range cats {
		if verdicts[c.name] == Allow {
			continue
		}
		for _, s := range c.suffixes {
			suffixes[s] = append(suffixes[s], c.name)
		}
		for _, s := range c.countries {
			countries[s] = append(countries[s], c.name)
		}
	}
	return suffixes, countries
}
