package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"sward/crawler/warc"
)

// maxComplaints is how many problems of one file are printed; all are counted.
const maxComplaints = 20

func warcCommand() *cobra.Command {
	return family("warc", "List, read and check WARC files: an archive's, or an export",
		warcListCommand(), warcCatCommand(), warcCheckCommand())
}

func warcListCommand() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "ls FILE…",
		Short: "List the records of WARC files",
		Long: `List the records of WARC files, one a line: where it starts in the file, its type, when it was made, the HTTP status, the
bytes of its payload, and the address.`,
		Example: "  sward warc ls site.warc.gz\n  sward warc ls --type response hub/crawl/warc/*.warc.gz",
		Args:    cobra.MinimumNArgs(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args {
				err := readWARC(path, func(r warc.Record) error {
					if kind != "" && r.Type != kind {
						return nil
					}
					_, body := r.Payload()
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%10d  %-10s  %s  %3s  %9d  %s\n", r.Offset, printable(r.Type),
						r.Date.UTC().Format(time.RFC3339), statusOf(r), len(body), printable(r.URL))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "type", "", "only records of this type: response, revisit, request, metadata, conversion, warcinfo")
	return cmd
}

func warcCatCommand() *cobra.Command {
	var kind string
	var header, whole bool
	cmd := &cobra.Command{
		Use:   "cat FILE ADDRESS|OFFSET",
		Short: "Print what one record of a WARC file holds",
		Long: `Print the payload of the first record of an address, or of the record at an offset that ls has printed. The bytes are the
site's own, as they came without their coding: a terminal is better served with a pager.`,
		Example: `  sward warc cat site.warc.gz https://site.example/
  sward warc cat site.warc.gz 1234 --header
  sward warc cat site.warc.gz https://site.example/ --type conversion`,
		Args: exactly(2), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := findRecord(args[0], args[1], kind)
			if err != nil {
				return err
			}
			head, body := record.Payload()
			switch {
			case whole:
				body = record.Block
			case header:
				body = head
			case record.Type == "revisit" && len(body) == 0:
				return fmt.Errorf("%s did not change: its payload is that of %s, at %s", args[1],
					printable(record.Fields.Get("WARC-Refers-To-Target-URI")), printable(record.Fields.Get("WARC-Refers-To-Date")))
			}
			_, err = cmd.OutOrStdout().Write(body)
			return err
		},
	}
	cmd.Flags().StringVar(&kind, "type", "", "the record of this type (default: the response, or revisit)")
	cmd.Flags().BoolVar(&header, "header", false, "print the HTTP header instead")
	cmd.Flags().BoolVar(&whole, "record", false, "print header and payload")
	cmd.MarkFlagsMutuallyExclusive("header", "record")
	return cmd
}

func warcCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "Check that WARC files are whole and what they say they are",
		Long: `Read WARC files to their end and check each record: its form, its digests (SHA-1 and SHA-256), the length that its HTTP header
says, its name, and the records it refers to.

Exit code 0 means that nothing is wrong. Otherwise each problem is named, with where its record starts.`,
		Example: "  sward warc check site.warc.gz",
		Args:    cobra.MinimumNArgs(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			bad := 0
			for _, path := range args {
				if err := checkWARC(cmd.OutOrStdout(), path); err != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %v\n", path, err)
					bad++
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d of %d files are not sound", bad, len(args))
			}
			return nil
		},
	}
}

var errProblems = errors.New("it is not sound")

// checkWARC checks one file and prints what it found.
func checkWARC(out io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	said := 0
	sum, err := warc.Check(f, func(offset int64, err error) {
		if said++; said <= maxComplaints {
			fmt.Fprintf(out, "%s: record at byte %d: %s\n", path, offset, printable(err.Error()))
		}
	})
	if said > maxComplaints {
		fmt.Fprintf(out, "%s: and %d more\n", path, said-maxComplaints)
	}
	var types []string
	for _, kind := range slices.Sorted(maps.Keys(sum.Types)) {
		types = append(types, fmt.Sprintf("%d %s", sum.Types[kind], printable(kind)))
	}
	fmt.Fprintf(out, "%s: %d records (%s), %d bytes of payload", path, sum.Records, strings.Join(types, ", "), sum.Payload)
	if !sum.From.IsZero() {
		fmt.Fprintf(out, ", from %s to %s", sum.From.UTC().Format(time.RFC3339), sum.To.UTC().Format(time.RFC3339))
	}
	if sum.Outside > 0 {
		fmt.Fprintf(out, ", %d refer to records elsewhere", sum.Outside)
	}
	if err == nil && sum.Problems == 0 {
		fmt.Fprintln(out, ": sound")
		return nil
	}
	fmt.Fprintf(out, ": %d problems\n", sum.Problems)
	if err == nil {
		err = errProblems
	}
	return err
}

// readWARC is warc.Read of a file, with the file's name in its errors.
func readWARC(path string, each func(warc.Record) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := warc.Read(f, each); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// findRecord finds a record by its offset, or the first of an address.
func findRecord(path, what, kind string) (found warc.Record, err error) {
	stop := errors.New("found")
	offset, number := strconv.ParseInt(what, 10, 64)
	err = readWARC(path, func(r warc.Record) error {
		wanted := r.Type == kind || kind == "" && (r.Type == "response" || r.Type == "revisit")
		if number == nil && r.Offset == offset || number != nil && r.URL == what && wanted {
			found = r
			return stop
		}
		return nil
	})
	switch {
	case errors.Is(err, stop):
		return found, nil
	case err != nil:
		return found, err
	case number == nil:
		return found, fmt.Errorf("%s: no record starts at byte %d (sward warc ls says where they do)", path, offset)
	}
	return found, fmt.Errorf("%s: no record of %s (sward warc ls says what there is)", path, printable(what))
}

// statusOf is the HTTP status of a response or revisit.
func statusOf(r warc.Record) string {
	header, _ := r.Payload()
	if !strings.HasPrefix(string(header), "HTTP/") {
		return "-"
	}
	_, rest, _ := strings.Cut(string(header[:min(len(header), 20)]), " ")
	return printable(rest[:min(3, len(rest))])
}

// printable is a stranger's text without what would steer the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
