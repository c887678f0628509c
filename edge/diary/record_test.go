package diary

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryPublicNameFitsARecord(t *testing.T) {
	l := Line{
		Day: today, Site: strings.Repeat("s", maxSite+9), Category: strings.Repeat("c", maxShortText), Purpose: "academic-research",
		App: "proxy", Streams: 1, Up: 1 << 62, Down: 3,
	}
	s, err := newSealer(make([]byte, keyBytes), today)
	if err != nil {
		t.Fatal(err)
	}
	record := s.seal(nil, l)
	got, err := s.open(record)
	if l.Site = l.Site[:maxSite]; err != nil || !cmp.Equal(l, got) || len(record) != sealedBytes {
		t.Errorf("%d bytes, %v: %s", len(record), err, cmp.Diff(l, got))
	}
	if bytes.Equal(record, s.seal(nil, l)) {
		t.Error("the same line gives the same record: somebody who watches the file sees repeats")
	}
}

func FuzzLine(f *testing.F) {
	f.Add(appendLine(make([]byte, 0, plainBytes), Line{Site: "shop.example", App: "crawl", Streams: 1}))
	f.Add(bytes.Repeat([]byte{0xff}, plainBytes))
	f.Fuzz(func(t *testing.T, plain []byte) {
		l, err := parseLine(plain, today)
		if err != nil || len(l.Site) > maxSite || max(len(l.Category), len(l.Purpose), len(l.App)) > maxShortText {
			return
		}
		again, err := parseLine(appendLine(make([]byte, 0, plainBytes), l), today)
		if err != nil || !cmp.Equal(l, again) {
			t.Errorf("%v: %s", err, cmp.Diff(l, again))
		}
	})
}
