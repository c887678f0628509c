package text

import (
	"fmt"
	"net/url"
	"strings"
	"sward/crawler/link"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		x := extractHTML(t, c.source, Options{})
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
	x := extractHTML(t, source.String(), Options{MaxLinks: 3})
	if want := []string{"https://site.example/0", "https://site.example/1", "https://site.example/2"}; !cmp.Equal(want, x.Links) {
		t.Errorf("got %v, want %v", x.Links, want)
	}
}

// FuzzCanonical holds that the result is stable, bounded, and read alike by the standard library,
// which is what dials it.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"https://site.example/a?b=c#d", "//x", "http://[::1]:80/", "http:/\\a%zz", "https://a.example/?utm_a&&b", "htt\x81:/\\a%"} {
		f.Add(seed)
	}
	base, _ := url.Parse("https://site.example/dir/")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := link.Canonical(raw, base)
		if err != nil {
			return
		}
		if again, err := link.Canonical(got, nil); err != nil || again != got {
			t.Fatalf("%q: %q is not stable: %q, %v", raw, got, again, err)
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(got) > link.MaxURL {
			t.Fatalf("%q: %q is no page: %v", raw, got, err)
		}
	})
}
