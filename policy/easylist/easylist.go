// Easylist makes the table of lists that come from EasyList and EasyPrivacy, which are kept by many hands and change daily:
// advertising and measurement, adult sites, and mining in the browser. What the product is careful about beyond these no
// maintained list under a licence that lets it be shipped covers; that is curated in policy/categories.
//
//	go run ./policy/easylist -easylist easylist.txt -easyprivacy easyprivacy.txt -version 2026-11-22
//
// writes policy/easylist/easylist.table. README.md beside it names the files that the current one was made of.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sward/policy"
)

func main() {
	ads := flag.String("easylist", "", "EasyList's file")
	privacy := flag.String("easyprivacy", "", "EasyPrivacy's file")
	version := flag.String("version", "", "the day of the files")
	out := flag.String("o", "policy/easylist/easylist.table", "where the table goes")
	flag.Parse()
	if err := run(*version, *out, *ads, *privacy); err != nil {
		fmt.Fprintln(os.Stderr, "easylist:", err)
		os.Exit(1)
	}
}

func run(version, out string, files ...string) error {
	found := categories{}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the file that was named
		if err != nil {
			return err
		}
		found.read(string(text))
	}
	lists := map[string]string{}
	for name, domains := range found {
		lists[name] = strings.Join(slices.Sorted(maps.Keys(domains)), "\n")
		fmt.Printf("%s: %d\n", name, len(domains))
	}
	table, err := policy.BuildTable(version, lists)
	if err != nil {
		return err
	}
	if _, err := policy.ParseTable(table); err != nil {
		return err
	}
	fmt.Printf("%d bytes\n", len(table))
	return os.WriteFile(out, table, 0o644) //nolint:gosec // part of the source
}
