package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func mustHost(t testing.TB, s string) Host {
	t.Helper()
	h, err := ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// B16: a target on the list is refused, whether the list names it or only its digest.
func TestBlocklistRefusesWhatItNames(t *testing.T) {
	digest := sha256.Sum256([]byte("hidden.example.com"))
	list, err := ParseBlocklist(strings.NewReader("# a feed\nbad.example.com   # since spring\n\nsha256:" + hex.EncodeToString(digest[:]) + "\n203.0.114.7\nBÜCHER.example.org.\n2a00:1:2::3\n"))
	if err != nil {
		t.Fatal(err)
	}
	if list.Len() != 5 {
		t.Errorf("%d entries, want 5", list.Len())
	}
	for host, want := range map[string]bool{
		"bad.example.com": true, "www.bad.example.com": true, "BAD.example.com": true, "notbad.example.com": false,
		"example.com": false, "hidden.example.com": true, "a.b.hidden.example.com": true,
		"203.0.114.7": true, "203.0.114.8": false, "2a00:1:2::3": true, "xn--bcher-kva.example.org": true,
	} {
		err := list.Check(mustHost(t, host))
		var d *Denied
		if got := errors.As(err, &d) && d.Rule == "domain_denied"; got != want {
			t.Errorf("%s: got %v, want refused %v", host, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("the refusal %q says what is on the list", err)
		}
	}
	if err := (*Blocklist)(nil).Check(mustHost(t, "bad.example.com")); err != nil {
		t.Errorf("no list refuses: %v", err)
	}
}

func TestBlocklistThatIsBrokenSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"good.example.com\nsha256:123\n": "line 2",
		"two words\n":                    "line 1",
		"localhost\n":                    "line 1",
		"ok.example.com\n" + strings.Repeat("a", 2000): "after line 1",
	} {
		if _, err := ParseBlocklist(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want an error that names %s", text, err, want)
		} else if strings.Contains(err.Error(), "two words") {
			t.Errorf("%.40q: the error quotes the list: %v", text, err)
		}
	}
}

func FuzzBlocklist(f *testing.F) {
	f.Add("bad.example.com\nsha256:00\n# x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseBlocklist(strings.NewReader(text))
		if err == nil && list.Len() > strings.Count(text, "\n")+1 {
			t.Errorf("%d entries of %q", list.Len(), text)
		}
	})
}
