package relay

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
)

// D06: ten thousand wrong keys from one address, under a name that exists and under one that does not: the pauses grow,
// the hub is asked a few times, and the partner comes in from its own address all the while.
func TestGuessesAreSlowedDownAtTheirSource(t *testing.T) {
	for _, name := range []string{"acme", "nobody"} {
		r, hub, pass := limitRelay(t, NoLimits(), officeTerms(accounting.Unlimited()))
		guesser := netip.MustParseAddr("203.0.113.5")
		member(t, r, "key-0")
		hub.asked = 0
		longest := time.Duration(0)
		for n := range 10_000 {
			_, err := r.authorise(t.Context(), name, fmt.Sprintf("guess-%d", n), guesser)
			switch code, after := asked(t, err); code {
			case wire.AuthFailed:
			case wire.TooManyAttempts:
				longest = max(longest, after)
			default:
				t.Fatalf("guess %d: got %v, want auth_failed or too_many_attempts", n, err)
			}
			pass(100 * time.Millisecond) // for a quarter of an hour and more
		}
		if most := freePerName + 11; hub.asked > most {
			t.Errorf("%s: the hub was asked for %d of 10000 guesses, want at most %d", name, hub.asked, most)
		}
		if longest < longestPause/2 {
			t.Errorf("%s: the longest pause was %s, want it to grow towards %s", name, longest, longestPause)
		}
		if _, err := r.authorise(t.Context(), "acme", "key-0", guesser); name == "acme" && wire.CodeOf(err) != wire.TooManyAttempts {
			t.Errorf("the right key after the guesses, from there: got %v, want too_many_attempts", err)
		}
		member(t, r, "key-0") // from another address: not locked out
	}
}

// D06: a /64 is one source, and so is a name that changes with each guess.
func TestGuessesAtManyNamesAreCountedToo(t *testing.T) {
	r, hub, _ := limitRelay(t, NoLimits(), officeTerms(accounting.Unlimited()))
	neighbour := netip.MustParseAddr("2001:db8::1")
	if _, err := r.authorise(t.Context(), "acme", "key-0", neighbour); err != nil {
		t.Fatal(err)
	}
	hub.asked = 0
	for n := range 1000 {
		from := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(n >> 8), 15: byte(n)})
		if _, err := r.authorise(t.Context(), fmt.Sprintf("name-%d", n), "guess", from); err == nil {
			t.Fatal("a guess was let in")
		}
	}
	if hub.asked != freePerSource+1 {
		t.Errorf("the hub was asked for %d of 1000 guesses, want %d", hub.asked, freePerSource+1)
	}
	if _, err := r.authorise(t.Context(), "acme", "key-0", neighbour); err != nil {
		t.Errorf("a partner behind the same address, known before: %v", err)
	}
}

func TestWrongKeyNowAndThenIsForgiven(t *testing.T) {
	g, home, now := newGuesses(), netip.MustParseAddr("198.51.100.1"), time.Now()
	for range 100 {
		for range freePerName {
			g.wrong("acme", home, now)
		}
		g.right("acme", home) // a typing error, mended
		if err := g.check("acme", home, true, now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * guessMemory)
	}
}

func TestGuessersDoNotFillTheMemory(t *testing.T) {
	g, now := newGuesses(), time.Now()
	for n := range 3 * maxGuesses {
		g.wrong(fmt.Sprint(n), netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), now)
	}
	if len(g.sources) > maxGuesses || len(g.names) > maxGuesses {
		t.Errorf("%d sources and %d names are remembered, want at most %d each", len(g.sources), len(g.names), maxGuesses)
	}
}
