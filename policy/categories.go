package policy

import (
	"embed"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
)

// The curated lists name the places where a stranger's request does most harm to the owner. One file a category, in the
// form that BuildTable reads. A change of a list changes every policy's digest.
//
//go:embed categories/*.txt
var categoryFiles embed.FS

// curatedVersion is when these lists were last looked through.
const curatedVersion = "2026-11-22"

var curated = sync.OnceValue(func() *Table {
	entries, _ := categoryFiles.ReadDir("categories") // embedded: present or the build failed
	lists := map[string]string{}
	for _, e := range entries {
		text, _ := categoryFiles.ReadFile(path.Join("categories", e.Name()))
		lists[strings.TrimSuffix(e.Name(), ".txt")] = string(text)
	}
	data, err := BuildTable(curatedVersion, lists)
	if err != nil {
		panic(err) // a test holds every line of them
	}
	t, err := ParseTable(data)
	if err != nil {
		panic(err)
	}
	return t
})

// easylistTable is made by policy/easylist of EasyList and EasyPrivacy, whose licence is in easylist/README.md.
//
//go:embed easylist/easylist.table
var easylistTable string

var easylist = sync.OnceValue(func() *Table {
	t, err := readTable(easylistTable) // a test has read it in full
	if err != nil {
		panic(err)
	}
	return t
})

var sortedCategories = sync.OnceValue(func() []string { return slices.Sorted(maps.Keys(descriptions)) })

// Categories lists the names of the categories that an owner may open, sorted.
func Categories() []string { return slices.Clone(sortedCategories()) }
