package diary

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestASpreadsheetRunsNothing(t *testing.T) { // L10
	lines := []Line{{Day: today, Site: `=HYPERLINK("http://evil.example";"x")`, Category: "+1", Purpose: "@SUM(A1)", App: "-2", Streams: 1, Up: 2, Down: 3}}
	for _, site := range []string{"\t=1", "\r=1", "=1", "@1", "shop.example"} {
		lines = append(lines, Line{Day: today, Site: site})
	}
	var out strings.Builder
	if err := WriteCSV(&out, lines); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 1+len(lines) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	want := []string{today, `'=HYPERLINK("http://evil.example";"x")`, "'+1", "'@SUM(A1)", "'-2", "1", "2", "3"}
	if diff := cmp.Diff(want, rows[1]); diff != "" {
		t.Error(diff)
	}
	for i, row := range rows[2:] {
		if dangerous := lines[i+1].Site != "shop.example"; strings.HasPrefix(row[1], "'") != dangerous {
			t.Errorf("%q became %q", lines[i+1].Site, row[1])
		}
	}
}

func TestJSONIsAnArrayOfLines(t *testing.T) {
	var out strings.Builder
	if err := WriteJSON(&out, nil); err != nil || strings.TrimSpace(out.String()) != "[]" {
		t.Errorf("nothing is %q (%v), want []", out.String(), err)
	}
	want := []Line{{Day: today, Site: "shop.example", Category: "other", Purpose: "search-index", App: "crawl", Streams: 1, Up: 2, Down: 3}}
	out.Reset()
	if err := WriteJSON(&out, want); err != nil {
		t.Fatal(err)
	}
	var got []Line
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
}
