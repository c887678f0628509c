package gateway

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

var update = flag.Bool("update", false, "write the tables of logins and the manual's pages anew")

// TestLoginsAreReadAsTheirNetworkMeansThem holds the table of each network: a login, and behind the arrow the account,
// key and exit that it means, or the refusal.
func TestLoginsAreReadAsTheirNetworkMeansThem(t *testing.T) {
	for _, g := range grammars {
		t.Run(g.name, func(t *testing.T) {
			path := filepath.Join("testdata", "dialects", g.name+".txt")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(string(text)) {
				credential, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t→ ")
				user, pass, _ := strings.Cut(credential, ":")
				fmt.Fprintf(&got, "%s\t→ %s\n", credential, meaning(user, pass))
			}
			if *update {
				if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(text), got.String()); diff != "" && !*update {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// meaning is a parsed login in one line: key, grammar, and the user name in our own.
func meaning(user, pass string) string {
	l, err := parseLogin(user, pass)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %s %s", l.Key, l.Dialect, l.user())
}

// A parameter that is no word of wire.LoginWord would be taken for a part of a name.
func TestNamesEndAtEveryParameter(t *testing.T) {
	words := map[string]bool{}
	for _, g := range grammars {
		for _, p := range g.params {
			if g != &iproyal && g != &dataImpulse { // theirs stand behind a mark of their own
				words[p.word] = true
			}
		}
	}
	for word := range words {
		if !wire.LoginWord(word) {
			t.Errorf("%q is a parameter and may be in a name", word)
		}
	}
	if got := len(slices.Collect(maps.Keys(words))); got < 30 {
		t.Errorf("the grammars have %d words: the test reads them wrongly", got)
	}
}

// A refusal repeats no piece of a credential.
func TestRefusedParameterTellsNoSecret(t *testing.T) {
	const secret = "Hunter2Hunter2"
	for _, c := range [][2]string{
		{"acme-country-" + secret, key},
		{"acme-country-de-" + secret + "-x", key},
		{"acme-session-" + secret + "*", key},
		{"acme", secret + "_country-de_" + secret + "-x"},
		{"acme", secret + "_country-" + secret},
		{"acme__cr." + secret, key},
		{"acme__" + secret + ".x", key},
		{"brd-customer-acme-zip-" + secret, key},
	} {
		_, err := parseLogin(c[0], c[1])
		if wire.CodeOf(err) != wire.BadParameter || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: got %v, want bad_parameter without the secret", c, err)
		}
	}
}

func TestLoginBeyondItsLimitIsRefused(t *testing.T) {
	for _, c := range [][2]string{{strings.Repeat("n", maxLogin+1), key}, {"acme", strings.Repeat("k", maxLogin+1)}} {
		if _, err := parseLogin(c[0], c[1]); wire.CodeOf(err) != wire.BadParameter {
			t.Errorf("got %v, want bad_parameter", err)
		}
	}
}

// What is read is complete, and means the same when it is written in our own grammar.
func FuzzParseLogin(f *testing.F) {
	for _, g := range grammars {
		text, err := os.ReadFile(filepath.Join("testdata", "dialects", g.name+".txt"))
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			credential, _, _ := strings.Cut(line, "\t")
			user, pass, _ := strings.Cut(strings.TrimSpace(credential), ":")
			f.Add(user, pass)
		}
	}
	f.Add("0__sessid.__", "0") // found: in our own grammar, too, a session may hold two underscores
	f.Fuzz(func(t *testing.T, user, pass string) {
		l, err := parseLogin(user, pass)
		if err != nil {
			if code := wire.CodeOf(err); code != wire.BadParameter && code != wire.AuthFailed {
				t.Fatalf("%q %q: refused with %v", user, pass, err)
			}
			if e := refusal(err); len(e.Detail) > wire.MaxDetail || e.Detail != printable(e.Detail) {
				t.Errorf("%q %q: the refusal does not fit: %q", user, pass, e.Detail)
			}
			return
		}
		if l.Name == "" || l.Key == "" || l.Dialect == "" {
			t.Fatalf("%q %q: incomplete: %+v", user, pass, l)
		}
		e := l.Exit
		if e.TTL < 0 || e.TTL > maxTTL || e.Idle < 0 || e.Idle > maxTTL || len(e.Session) > maxSession {
			t.Errorf("%q %q: beyond the limits: %+v", user, pass, e)
		}
		if e.Session == "" && (e.Hard || e.TTL != 0 || e.Idle != 0) {
			t.Errorf("%q %q: a length without a session: %+v", user, pass, e)
		}
		again, err := parseLogin(l.user(), l.Key)
		if again.Dialect = l.Dialect; err != nil || again != l {
			t.Errorf("%q %q: %+v reads back as %+v, %v", user, pass, l, again, err)
		}
	})
}

func BenchmarkParseLogin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseLogin("brd-customer-acme-zone-z1-country-us-session-abc123", key); err != nil {
			b.Fatal(err)
		}
	}
}
