package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sward/crawler/proof"
	"sward/crawler/warc"
	"sward/internal/identity"
)

func verifyCommand() *cobra.Command {
	var archive string
	var check proof.Checker
	var quiet bool
	cmd := &cobra.Command{
		Use:   "verify FILE…",
		Short: "Check who fetched a page, and that it is what was fetched",
		Long: `Check pages that a hub has delivered, with nothing but the pages: the signature of the edge that fetched each and what it
signed (address, status, digests of header and body, time), the hub's seal over the rest of the provenance, and the digests
of the text. A file holds a page, a list of pages, the answer of the crawl API, or a page a line (an export as jsonl); - is
standard input.

The keys of edges and hub are in their names, so that nobody has to be asked. Whose hub it is you have to know: name it with
--hub. The body itself is in the page as rawHtml, if that was asked for, and in the archive, if you have that: --warc.

Exit code 0 means that nothing is wrong. What could not be checked is named and is not wrong.`,
		Example: `  sward verify page.json
  sward verify page.json --warc site.warc.gz --hub 12D3KooW…
  curl -s $SWARD_API/v2/crawl/$ID -H "Authorization: Bearer $SWARD_KEY" | sward verify -`,
		Args: cobra.MinimumNArgs(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			check.Verify = verifyPeer
			if archive != "" {
				check.Exchange = func(p proof.Place) ([]byte, []byte, error) { return exchangeIn(archive, p) }
			}
			pages, bad := 0, 0
			for _, path := range args {
				err := eachPage(cmd.InOrStdin(), path, func(page []byte) error {
					pages++
					ok, err := verifyPage(cmd.OutOrStdout(), check, page, quiet)
					if !ok {
						bad++
					}
					return err
				})
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			switch {
			case pages == 0:
				return errors.New("there is no page in what was given")
			case bad > 0:
				return fmt.Errorf("%d of %d pages are not what was signed", bad, pages)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d pages, nothing wrong\n", pages)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&archive, "warc", "", "WARC file, or directory of them, that has the exchanges")
	f.StringVar(&check.Network, "network", "", "network the pages have to be of (default: the one they name)")
	f.StringVar(&check.Hub, "hub", "", "id of the hub that has to have sealed them (default: whoever did)")
	f.BoolVarP(&quiet, "quiet", "q", false, "print only what is wrong")
	return cmd
}

func verifyPeer(network, peer, typ string, body, sig []byte) bool {
	id, err := identity.ParseID(peer)
	return err == nil && id.Verify(network, typ, body, sig)
}

// verifyPage checks one page and prints what it found. Its error means that this was no page.
func verifyPage(out io.Writer, check proof.Checker, page []byte, quiet bool) (ok bool, err error) {
	steps, err := check.Check(page)
	if err != nil {
		return false, err
	}
	ok = true
	signed := false
	for _, s := range steps {
		signed = signed || s.Err == nil && (s.Name == "hub" || s.Name == "edge")
		mark, text := "ok", s.What
		switch {
		case s.Failed():
			mark, text, ok = "WRONG", s.Err.Error(), false
		case s.Err != nil:
			mark, text = "-", s.Err.Error()
		}
		if !quiet || s.Failed() {
			fmt.Fprintf(out, "%-6s %-12s %s\n", mark, s.Name, printable(text))
		}
	}
	if !signed {
		fmt.Fprintf(out, "%-6s %-12s %s\n", "WRONG", "signature", "nobody has signed this page: anybody may have written it")
	}
	return ok && signed, nil
}

// eachPage calls do with every page in a file: values one after another, each of them a page, a list, or an answer with
// its pages under data.
func eachPage(stdin io.Reader, path string, do func([]byte) error) error {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	d := json.NewDecoder(bufio.NewReader(in))
	for {
		var value json.RawMessage
		if err := d.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read JSON: %w", err)
		}
		if err := proof.Unambiguous(value); err != nil { // "data" and "Data": which of the two would be checked?
			return err
		}
		if err := unwrap(value, do); err != nil {
			return err
		}
	}
}

func unwrap(value json.RawMessage, do func([]byte) error) error {
	if list := []json.RawMessage{}; bytes.HasPrefix(value, []byte("[")) && json.Unmarshal(value, &list) == nil {
		for _, each := range list {
			if err := do(each); err != nil {
				return err
			}
		}
		return nil
	}
	var answer struct{ Data, Metadata json.RawMessage }
	if err := json.Unmarshal(value, &answer); err == nil && len(answer.Data) > 0 && answer.Metadata == nil {
		return unwrap(answer.Data, do)
	}
	return do(value)
}

// exchangeIn reads what an archive has at a place: a hub's directory of files, or one file, which may be an export with
// places of its own: there the record is looked for by its name.
func exchangeIn(path string, at proof.Place) (head, body []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		path = filepath.Join(path, filepath.Base(at.File))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r, err := warc.ReadAt(f, at.Offset, at.Length)
	if err != nil || r.ID != at.ID {
		if r, err = recordByID(f, at.ID); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	head, body = r.Payload()
	return warc.ReceivedHeader(head), body, nil
}

// recordByID reads a whole file for one record.
func recordByID(f io.ReadSeeker, id string) (found warc.Record, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return found, err
	}
	stop := errors.New("found")
	err = warc.Read(f, func(r warc.Record) error {
		if r.ID != id {
			return nil
		}
		found = r
		return stop
	})
	switch {
	case errors.Is(err, stop):
		return found, nil
	case err != nil:
		return found, err
	}
	return found, fmt.Errorf("no record <%s>, which the page is from, is in it", printable(id))
}
