package link

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCanonicalGivesEachPageOneSpelling(t *testing.T) {
	const base = "https://site.example/dir/page?x=1#f"
	for _, c := range []struct{ raw, want string }{
		{"https://site.example", "https://site.example/"},
		{"HTTPS://SITE.Example:443/A/../b/./c#frag", "https://site.example/b/c"},
		{"http://site.example:80/", "http://site.example/"},
		{"http://site.example:8080/", "http://site.example:8080/"},
		{"https://site.example/?utm_source=a&b=2&UTM_Medium=c&gclid=x&fbclid=y&mc_eid=z", "https://site.example/?b=2"},
		{"https://site.example/?utm_source=a", "https://site.example/"},
		{"https://site.example/?a", "https://site.example/?a"},
		{"https://site.example/?b=2&a=1&b=3", "https://site.example/?b=2&a=1&b=3"},
		{"https://site.example/?q=a+b%20c&utmost=1", "https://site.example/?q=a+b%20c&utmost=1"},
		{"https://site.example/ä b?ö", "https://site.example/%C3%A4%20b?%C3%B6"},
		{"https://bücher.example/", "https://xn--bcher-kva.example/"},
		{"https:\\\\site.example\\a", "https://site.example/a"},
		{" \thttps://site.example/\n", "https://site.example/"},
		{"//other.example/x", "https://other.example/x"},
		{"/x", "https://site.example/x"},
		{"x", "https://site.example/dir/x"},
		{"?y=2", "https://site.example/dir/page?y=2"},
		{"../../../x", "https://site.example/x"},
		{"http://0x7f.1/", "http://127.0.0.1/"}, // for the address gate to refuse, in the open
		{"http://2130706433/", "http://127.0.0.1/"},
		{"http://[::FFFF:7f00:1]/", "http://[::ffff:7f00:1]/"},
		{"http://127。0。0。1/", "http://127.0.0.1/"},
		{"/100%?50%&%41", "https://site.example/100%25?50%&%41"},
	} {
		got, err := Canonical(c.raw, mustURL(t, base))
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.raw, got, err, c.want)
		}
		if again, err := Canonical(got, nil); err != nil || again != got {
			t.Errorf("%q is not stable: %q, %v", got, again, err)
		}
	}
}

func TestCanonicalRefusesWhatACrawlerMayNotVisit(t *testing.T) {
	for _, raw := range []string{
		"", "page", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "gopher://site.example/", "ftp://site.example/",
		"mailto:a@site.example", "ws://site.example/", "http://", "http://user:secret@site.example/", "https://@:@", "http://a b/",
		"http://site.example:99999/", "http://[::1/", "http://site.example%00/", "http://999.999.999.999/",
		"https://site.example/" + strings.Repeat("a", MaxURL), "https://site.example/#" + strings.Repeat("a", 3*MaxURL),
		"https://site.example/" + strings.Repeat("ä", MaxURL/3),
	} {
		if got, err := Canonical(raw, nil); !errors.Is(err, ErrNotCrawlable) {
			t.Errorf("%.60q: got %q, %v, want %v", raw, got, err, ErrNotCrawlable)
		}
	}
}

func TestCanonicalRefusalKeepsTheSecret(t *testing.T) {
	for _, raw := range []string{"http://user:secret@site.example/", "http://user:secret@[::1/", "http://user:secret@site.example:99999/"} {
		if _, err := Canonical(raw, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the password", raw, err)
		}
	}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
