package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestHostIsCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"Example.COM":      "example.com",
		"BÜCHER.example":   "xn--bcher-kva.example",
		"2606:4700:0::1":   "2606:4700::1",
		"8.8.8.8":          "8.8.8.8",
		"a-b.c--d.example": "a-b.c--d.example",
	} {
		h, err := ParseHost(in)
		if err != nil || h.String() != want {
			t.Errorf("ParseHost(%q) = %q, %v; want %q", in, h, err, want)
		}
	}
}

func TestHostRefusesWhatIsNotAHost(t *testing.T) {
	for _, in := range []string{
		"", ".", "a..b", "-a.example", "a-.example", "a_b.example", "a b.example", "exa\tmple.com",
		"exa\x00mple.com", "*.example.com", "xn--a.example", "xn--.example", "a.xn--zzzzzzz99999.example",
		strings.Repeat("a", 64) + ".example", strings.Repeat("abcdefgh.", 29) + "com", "\xff.example", "ⓔxample.com",
	} {
		_, err := ParseHost(in)
		var d *Denied
		if !errors.As(err, &d) || d.Rule != "bad_host" {
			t.Errorf("ParseHost(%q): got %v, want bad_host", in, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{
		"example.com:443", "[::1]:80", "127.1:80", "bücher.example:80", "a@b:80", "[fe80::1%eth0]:1",
		"0x7f.1:80", "xn--bcher-kva.example:1", "１.2.3.4:80", ":", "[]:1", "a.b:65535",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			if !errors.Is(err, ErrDenied) {
				t.Fatalf("ParseTarget(%q): error %v is not a refusal", s, err)
			}
			return
		}
		again, err := ParseTarget(target.String())
		if err != nil || again != target {
			t.Fatalf("ParseTarget(%q) = %v, read back as %v, %v", s, target, again, err)
		}
		if name := target.Host.Name(); name != "" && (!isASCII(name) || !strings.Contains(name, ".")) {
			t.Fatalf("ParseTarget(%q) gave the name %q", s, name)
		}
	})
}
