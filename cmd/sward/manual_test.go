package main

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sward/docs"
)

var (
	codeLine = regexp.MustCompile(`(?m)^ {4}(.+)$`)
	inline   = regexp.MustCompile("`(sward(?:-edge)? [a-z][^`]*)`")
	nested   = regexp.MustCompile(`\$\(([^()]*)\)`)
	comment  = regexp.MustCompile(`\s#.*$`)
)

// TestCommandsInTheManualExist holds each command line that people copy, from the README and the manual, against the
// commands, their arguments and their flags.
func TestCommandsInTheManualExist(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := checkPage(t, "README.md", string(readme))
	err = fs.WalkDir(docs.Manual, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".md" {
			return err
		}
		text, err := fs.ReadFile(docs.Manual, name)
		checked += checkPage(t, name, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 20 {
		t.Errorf("found %d command lines: the README and the manual had over thirty when this was written", checked)
	}
}

// checkPage checks the command lines of one page and returns how many there were.
func checkPage(t *testing.T, page, text string) (checked int) {
	t.Helper()
	check := func(line string, whole bool) {
		words := strings.Fields(comment.ReplaceAllString(line, ""))
		if left := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "…" }); len(left) < len(words) {
			words, whole = left, false // the page leaves something out
		}
		at := slices.IndexFunc(words, func(w string) bool { return slices.Contains([]string{"sward", "sward-edge"}, path.Base(w)) })
		if at < 0 || at > 0 && words[0] != "go" {
			return // another program's, or a sentence
		}
		args := words[at+1:]
		if path.Base(words[at]) == "sward-edge" {
			if len(args) == 1 && strings.HasPrefix(args[0], "'sward:") {
				checked++ // a start with an invitation, which only the program alone takes
				return
			}
			args = append([]string{"edge"}, args...)
		}
		checked++
		cmd, rest, err := root().Find(args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil && whole {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err == nil && whole {
			err = cmd.ValidateRequiredFlags()
		}
		if err != nil {
			t.Errorf("%s: %q: %v", page, line, err)
		}
	}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, m := range codeLine.FindAllStringSubmatch(text, -1) {
		line := m[1]
		for _, inner := range nested.FindAllStringSubmatch(line, -1) {
			check(inner[1], true)
		}
		check(nested.ReplaceAllString(line, "WORD"), true)
	}
	for _, m := range inline.FindAllStringSubmatch(text, -1) {
		check(m[1], false) // a sentence may leave the arguments out
	}
	return checked
}
