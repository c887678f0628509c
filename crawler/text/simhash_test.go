package text

import (
	"fmt"
	"strings"
	"testing"
)

func words(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		fmt.Fprintf(&b, "word%d ", n)
	}
	return b.String()
}

func TestSimhashTellsNearFromFar(t *testing.T) {
	page := words(0, 1000)
	for _, c := range []struct {
		name, other string
		near        bool
	}{
		{"same", page, true},
		{"case, space and punctuation", strings.ToUpper(strings.ReplaceAll(page, " ", ",\n ")), true},
		{"one word in a thousand", strings.Replace(page, "word500", "changed", 1), true},
		{"a date in the footer", page + "21 November 2026", true},
		{"another page", words(2000, 3000), false},
		{"half of it", words(500, 1500), false},
		{"the same words in another order", strings.Join(reversed(strings.Fields(page)), " "), false},
	} {
		if d := Hamming(Simhash(page), Simhash(c.other)); (d <= NearDuplicate) != c.near {
			t.Errorf("%s: distance %d, want near %v", c.name, d, c.near)
		}
	}
}

func reversed(list []string) []string {
	out := make([]string, len(list))
	for n, s := range list {
		out[len(list)-1-n] = s
	}
	return out
}

// TestSimhashIsFixed holds the function to its recorded values: fingerprints are stored.
func TestSimhashIsFixed(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, " .,!": 0, "grass": 0x55bac1cce3b5e024, "the green surface of a lawn": 0x700e084800cc127e, "草地 の 上": 0xdbf09b8a3e46bcdc} {
		if got := Simhash(text); got != want {
			t.Errorf("%q: got %#016x, want %#016x", text, got, want)
		}
	}
}

func TestHammingCountsBits(t *testing.T) {
	for _, c := range []struct {
		a, b uint64
		want int
	}{{0, 0, 0}, {0, ^uint64(0), 64}, {0b1011, 0b0010, 2}} {
		if got := Hamming(c.a, c.b); got != c.want {
			t.Errorf("%b %b: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func BenchmarkSimhash(b *testing.B) {
	text := words(0, 2000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		Simhash(text)
	}
}
