package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/internal/hub"
	"sward/policy"
)

// listCommand keeps the lists of a hub: files that the hub reads within a minute, running or not.
func listCommand() *cobra.Command {
	var dir string
	set := &cobra.Command{
		Use:   "set CATEGORY [FILE]",
		Short: "Add the names in a file, or in what is typed, to a category of every edge, in place of those that it had",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := listText(cmd.InOrStdin(), args[1:])
			if err != nil {
				return err
			}
			n, err := entries(args[0], text)
			if err != nil {
				return err
			}
			if policy.Describe(args[0]) == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is none of %s: edges close it and no owner can open it\n", args[0], strings.Join(policy.Categories(), ", "))
			}
			if err := writeList(listPath(dir, args[0]), text); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries\n", args[0], n)
			return nil
		},
	}
	remove := &cobra.Command{
		Use:   "remove CATEGORY",
		Short: "Take back what was added to a category",
		Args:  exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := entries(args[0], ""); err != nil { // the name is a file's
				return err
			}
			err := os.Remove(listPath(dir, args[0]))
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("nothing was added to %s", args[0])
			}
			return err
		},
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Show what is added, by category",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, _, newest, err := hub.ListFiles(filepath.Join(dir, hub.ListsDir))
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, name := range slices.Sorted(maps.Keys(files)) {
				n, err := entries(name, files[name])
				if err != nil {
					return err
				}
				fmt.Fprintf(w, "%s\t%d entries\n", name, n)
			}
			if len(files) > 0 {
				fmt.Fprintf(w, "written\t%s\n", newest.UTC().Format("2006-01-02 15:04:05"))
			}
			return w.Flush()
		},
	}
	for _, cmd := range []*cobra.Command{set, remove, show} {
		cmd.Flags().StringVar(&dir, "dir", "hub", "directory of the hub")
	}
	return family("list", "Close more names on every edge, by category", set, remove, show)
}

func listPath(dir, category string) string { return filepath.Join(dir, hub.ListsDir, category+".txt") }

// maxListText bounds what is read.
const maxListText = 32 << 20

func listText(stdin io.Reader, file []string) ([]byte, error) {
	from := stdin
	if len(file) == 1 {
		f, err := os.Open(file[0])
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxListText+1))
	if err == nil && len(text) > maxListText {
		err = fmt.Errorf("a list is at most %d bytes long", maxListText)
	}
	return text, err
}

// entries counts what a list says. The error names the bad line, or a name that no list may have.
func entries[T string | []byte](category string, text T) (int, error) {
	data, err := policy.BuildTable("", map[string]string{category: string(text)})
	if err != nil {
		return 0, err
	}
	table, err := policy.ParseTable(data)
	if err != nil {
		return 0, err
	}
	return table.Len(), nil
}

// writeList replaces the file in one step: the hub may look at any moment.
func writeList(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(bytes.TrimRight(text, "\n"), '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
