package policy

import (
	"encoding/hex"
	"strings"
	"testing"
)

// The form of a table is part of the protocol between hub and edge.
func TestTableKeepsItsForm(t *testing.T) {
	data, err := BuildTable("v1", map[string]string{"tax": "tax.example # a note\n.vat\n", "mail": "webmail.**\n"})
	if err != nil {
		t.Fatal(err)
	}
	const want = "73776172642f6c697374732f76310a" + // magic
		"027631" + "02" + "046d61696c" + "03746178" + "00000003"
	got := hex.EncodeToString(data)
	if !strings.HasPrefix(got, want) || len(data) != len(want)/2+3*7+32 {
		t.Errorf("got %s", got)
	}
	again, err := BuildTable("v1", map[string]string{"mail": "\n#\nwebmail.**", "tax": "vat\nTax.Example\ntax.example"})
	if err != nil || string(again) != string(data) {
		t.Errorf("order, case and repeats change the table: %v", err)
	}
}

func TestATableThatIsCutOrChangedIsRefused(t *testing.T) {
	data, err := BuildTable("v1", map[string]string{"tax": "tax.example\nvat.example\n", "mail": "webmail.**\n"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if _, err := ParseTable(data[:i]); err == nil {
			t.Errorf("the first %d of %d bytes are a table", i, len(data))
		}
		bad := append([]byte(nil), data...)
		bad[i] ^= 1
		if _, err := ParseTable(bad); err == nil {
			t.Errorf("byte %d of %d may change", i, len(data))
		}
	}
}

func TestBuildTableNamesTheBadLine(t *testing.T) {
	for text, want := range map[string]string{
		"good.example\n*.bad.example\n": "list tax, line 2", "a b": "line 1", "http://x.example": "line 1",
		"co.uk.*": "line 1", "a.b.**": "line 1", "-x.example": "line 1",
	} {
		if _, err := BuildTable("v1", map[string]string{"tax": text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	for _, name := range []string{"", "Tax", "../tax", "tax.txt", "-", strings.Repeat("a", 41)} {
		if _, err := BuildTable("v1", map[string]string{name: "tax.example"}); err == nil {
			t.Errorf("a list named %q was taken", name)
		}
	}
}

// The table of the program is not read in full at its start: here it is.
func TestTheProgramsTablesAreSound(t *testing.T) {
	table, err := ParseTable([]byte(easylistTable))
	if err != nil {
		t.Fatal(err)
	}
	if table.Len() < 50_000 || curated().Len() < 1000 {
		t.Errorf("%d and %d entries, want the lists in full", table.Len(), curated().Len())
	}
	for _, name := range append(table.names, curated().names...) {
		if bitOf(name) == unknownBit {
			t.Errorf("category %s is not known", name)
		}
	}
}

func FuzzTable(f *testing.F) {
	data, err := BuildTable("v1", map[string]string{"tax": "tax.example\n", "mail": "webmail.**\ngov.*\n"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := readTable(string(data)) // without the digest, which a fuzzer does not hit
		if err != nil {
			return
		}
		table.find(keyOf([]byte("tax.example")), func(i int) {
			if i < len(table.names) && table.names[i] == "" {
				t.Error("a category without a name")
			}
		})
	})
}
