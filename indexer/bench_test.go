package indexer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// benchDocuments are pages of about 4 KB with words as unequally frequent as in a language.
func benchDocuments(n int) (documents []Document, bytes int64) {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 3, 50_000)
	for i := range n {
		var text strings.Builder
		for text.Len() < 4<<10 {
			fmt.Fprintf(&text, "w%dx ", zipf.Uint64())
		}
		documents = append(documents, Document{URL: fmt.Sprintf("https://h%d.example/%d", i%97, i), Title: fmt.Sprintf("Title w%dx", zipf.Uint64()), Text: text.String()})
		bytes += int64(text.Len())
	}
	return documents, bytes
}

func BenchmarkPut(b *testing.B) {
	x := openAt(b, b.TempDir())
	documents, bytes := benchDocuments(500)
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		put(b, x, documents...)
	}
	b.ReportMetric(float64(len(documents)*b.N)/b.Elapsed().Seconds(), "docs/s")
}

func BenchmarkSearch(b *testing.B) {
	x := openAt(b, b.TempDir())
	documents, _ := benchDocuments(2000)
	put(b, x, documents...)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := x.Search(b.Context(), Query{Text: fmt.Sprintf("w%dx w%dx", n%50, n%500)}); err != nil {
			b.Fatal(err)
		}
	}
}
