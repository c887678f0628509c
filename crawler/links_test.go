package crawler

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCanonicaliseGivesEachPageOneSpelling(t *testing.T) {
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
		got, err := Canonicalise(c.raw, mustURL(t, base))
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.raw, got, err, c.want)
		}
		if again, err := Canonicalise(got, nil); err != nil || again != got {
			t.Errorf("%q is not stable: %q, %v", got, again, err)
		}
	}
}

func TestCanonicaliseRefusesWhatACrawlerMayNotVisit(t *testing.T) {
	for _, raw := range []string{
		"", "page", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "gopher://site.example/", "ftp://site.example/",
		"mailto:a@site.example", "ws://site.example/", "http://", "http://user:secret@site.example/", "https://@:@", "http://a b/",
		"http://site.example:99999/", "http://[::1/", "http://site.example%00/", "http://999.999.999.999/",
		"https://site.example/" + strings.Repeat("a", MaxURL), "https://site.example/#" + strings.Repeat("a", 3*MaxURL),
		"https://site.example/" + strings.Repeat("ä", MaxURL/3),
	} {
		if got, err := Canonicalise(raw, nil); !errors.Is(err, ErrNotCrawlable) {
			t.Errorf("%.60q: got %q, %v, want %v", raw, got, err, ErrNotCrawlable)
		}
	}
}

func TestCanonicaliseRefusalKeepsTheSecret(t *testing.T) {
	for _, raw := range []string{"http://user:secret@site.example/", "http://user:secret@[::1/", "http://user:secret@site.example:99999/"} {
		if _, err := Canonicalise(raw, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the password", raw, err)
		}
	}
}

func TestLinksAreCollectedInOrderAndOnce(t *testing.T) {
	for _, c := range []struct {
		name, source  string
		links, images []string
	}{
		{
			"kinds", `<a href="b">1</a><area href="/c"><a href="b#again">2</a><img src="i.png"><a name="x">3</a><link href="/not"><meta http-equiv="Refresh" content="3;URL=d">`,
			[]string{"https://site.example/dir/b", "https://site.example/c", "https://site.example/dir/d"}, []string{"https://site.example/dir/i.png"},
		},
		{"base", `<base href="/other/"><a href="x">`, []string{"https://site.example/other/x"}, nil},
		{"base elsewhere is resolved, and refused where it is dialled", `<base href="http://169.254.169.254/"><a href="latest/">`, []string{"http://169.254.169.254/latest/"}, nil},
		{"only the first base counts", `<base href="javascript:1"><base href="/two/"><a href="x">`, []string{"https://site.example/dir/x"}, nil},
		{"a base without address is none", `<base target="_top"><base href="/two/"><a href="x">`, []string{"https://site.example/two/x"}, nil},
		{"what is no page", `<a href="javascript:1"><a href="#top"><a href=""><a href="tel:1"><img src="data:image/png;base64,AA">`, nil, nil},
		{"odd refreshes", `<meta http-equiv=refresh content="5"><meta http-equiv=refresh content="0; url"><meta http-equiv=refresh content="0; url='q'">`, []string{"https://site.example/dir/q"}, nil},
	} {
		x := extractHTML(t, c.source, ExtractOptions{})
		if diff := cmp.Diff(c.links, x.Links); diff != "" {
			t.Errorf("%s: links (-want +got):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.images, x.Images); diff != "" {
			t.Errorf("%s: images (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestLinkLimitKeepsTheFirst(t *testing.T) {
	var source strings.Builder
	for n := range 50 {
		fmt.Fprintf(&source, `<a href="/%d">x</a>`, n)
	}
	x := extractHTML(t, source.String(), ExtractOptions{MaxLinks: 3})
	if want := []string{"https://site.example/0", "https://site.example/1", "https://site.example/2"}; !cmp.Equal(want, x.Links) {
		t.Errorf("got %v, want %v", x.Links, want)
	}
}

// FuzzCanonicalise holds that the result is stable, bounded, and read alike by the standard library,
// which is what dials it.
func FuzzCanonicalise(f *testing.F) {
	for _, seed := range []string{"https://site.example/a?b=c#d", "//x", "http://[::1]:80/", "http:/\\a%zz", "https://a.example/?utm_a&&b", "htt\x81:/\\a%"} {
		f.Add(seed)
	}
	base, _ := url.Parse("https://site.example/dir/")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := Canonicalise(raw, base)
		if err != nil {
			return
		}
		if again, err := Canonicalise(got, nil); err != nil || again != got {
			t.Fatalf("%q: %q is not stable: %q, %v", raw, got, again, err)
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(got) > MaxURL {
			t.Fatalf("%q: %q is no page: %v", raw, got, err)
		}
	})
}
