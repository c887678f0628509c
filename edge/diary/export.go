package diary

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// WriteCSV writes lines as RFC 4180 with a row of names. A spreadsheet takes a cell that begins like a formula for one,
// and a stranger chose the site: such a cell gets an apostrophe, which spreadsheets read as "this is text".
func WriteCSV(w io.Writer, lines []Line) error {
	out := csv.NewWriter(w)
	out.Write([]string{"day", "site", "category", "purpose", "app", "streams", "bytes_up", "bytes_down"}) //nolint:errcheck // Error tells
	for _, l := range lines {
		out.Write([]string{ //nolint:errcheck // Error tells
			cell(l.Day), cell(l.Site), cell(l.Category), cell(string(l.Purpose)), cell(string(l.App)),
			strconv.FormatInt(l.Streams, 10), strconv.FormatInt(l.Up, 10), strconv.FormatInt(l.Down, 10),
		})
	}
	out.Flush()
	return out.Error()
}

// cell makes text harmless in a spreadsheet. The characters are those of OWASP's "CSV Injection", full-width forms
// included.
func cell(s string) string {
	if strings.IndexAny(s, "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20") == 0 {
		return "'" + s
	}
	return s
}

// WriteJSON writes lines as one array.
func WriteJSON(w io.Writer, lines []Line) error {
	if lines == nil {
		lines = []Line{}
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(lines)
}
