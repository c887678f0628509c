package fetch

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
	"sward/policy"
)

func TestRedirectsAreFollowedAndRecorded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("a.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			http.Redirect(rw, req, "//b.example/x?y=1#z", http.StatusMovedPermanently)
		}))
		w.site("b.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/x" {
				rw.Header().Set("Location", "/caf\u00e9 here")
				rw.WriteHeader(http.StatusTemporaryRedirect)
				return
			}
			fmt.Fprint(rw, req.URL.EscapedPath())
		}))
		r := fetchOne(t, w, "http://a.example")
		if r.Code != wire.OK || string(r.Body) != "/caf%C3%A9%20here" || r.URL != "http://b.example/caf%C3%A9%20here" {
			t.Errorf("%v, body %q, URL %s", r.Code, r.Body, r.URL)
		}
		if diff := cmp.Diff([]string{"http://a.example/", "http://b.example/x?y=1"}, r.Hops); diff != "" {
			t.Errorf("hops (-want +got):\n%s", diff)
		}
	})
}

// J04: loops and chains.
func TestRedirectsEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("count.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			n, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/"))
			if n > 0 {
				http.Redirect(rw, req, fmt.Sprintf("/%d", n-1), http.StatusFound)
			}
		}))
		w.site("loop.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			http.Redirect(rw, req, map[string]string{"/a": "/b", "/b": "/a"}[req.URL.Path], http.StatusFound)
		}))
		for url, want := range map[string]wire.Code{
			"http://count.example/10": wire.OK,
			"http://count.example/11": wire.TooManyRedirects,
			"http://count.example/30": wire.TooManyRedirects,
			"http://loop.example/a":   wire.TooManyRedirects,
		} {
			r := fetchOne(t, w, url)
			if r.Code != want || len(r.Hops) != maxRedirects {
				t.Errorf("%s: %v after %d hops, want %v after %d", url, r.Code, len(r.Hops), want, maxRedirects)
			}
		}
	})
}

// J04, J18: to other schemes, and into a home.
func TestRedirectMeetsTheSameDoor(t *testing.T) {
	cases := []struct {
		name, location string
		want           wire.Code
		rule           string
	}{
		{"cloud metadata", "http://169.254.169.254/latest/meta-data/", wire.RedirectDenied, "dest_linklocal"},
		{"loopback", "http://127.0.0.1/", wire.RedirectDenied, "dest_loopback"},
		{"loopback in hex", "http://0x7f000001/", wire.RedirectDenied, "dest_loopback"},
		{"loopback in IPv6", "http://[::ffff:127.0.0.1]/", wire.RedirectDenied, "dest_embedded"},
		{"a name of the house", "http://router.local/", wire.RedirectDenied, "dest_name"},
		{"a single label", "http://intranet/", wire.RedirectDenied, "dest_name"},
		{"a public name at home", "http://router.example/", wire.RedirectDenied, "dest_private"},
		{"file", "file:///etc/passwd", wire.RedirectDenied, "bad_request"},
		{"data", "data:text/html,<b>x", wire.RedirectDenied, "bad_request"},
		{"javascript", "javascript:alert(1)", wire.RedirectDenied, "bad_request"},
		{"gopher", "gopher://secret.example/", wire.RedirectDenied, "bad_request"},
		{"a credential", "http://user:pass@secret.example/", wire.RedirectDenied, "bad_request"},
		{"not a URL", "http://[::1", wire.RedirectDenied, "bad_request"},
		{"a URL too long", "/" + strings.Repeat("a", wire.MaxURL), wire.RedirectDenied, "bad_request"},
		{"a path under robots.txt", "http://secret.example/private", wire.RobotsDenied, "Disallow: /private"},
		{"a site of the owner's list", "http://bank.example/", wire.RedirectDenied, "category_denied"},
		{"a site without a name", "http://nowhere.example/", wire.RobotsUnreachable, "dns_not_found"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.site("start.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
					rw.Header().Set("Location", c.location)
					rw.WriteHeader(http.StatusFound)
				}))
				w.site("secret.example:80", withRobots(200, "User-agent: *\nDisallow: /private\n", func(_ http.ResponseWriter, req *http.Request) {
					t.Errorf("%s was fetched", req.URL)
				}))
				allow := func(u *url.URL) error {
					if u.Hostname() == "bank.example" {
						return &policy.Denied{Rule: "category_denied", Detail: "banking"}
					}
					return nil
				}
				r := fetchAll(t, New(w.config()), Batch{URLs: []string{"http://start.example/"}, Allow: allow})[0]
				if r.Code != c.want || r.Rule != c.rule {
					t.Errorf("%v by %q, want %v by %q", r.Code, r.Rule, c.want, c.rule)
				}
				if r.URL != "http://start.example/" || r.Status != http.StatusFound || len(r.Body) != 0 {
					t.Errorf("URL %s, status %d, %d bytes, want the redirect itself", r.URL, r.Status, len(r.Body))
				}
			})
		})
	}
}

func TestRedirectWithoutLocationIsAPage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusFound)
			fmt.Fprint(rw, "lost")
		}))
		if r := fetchOne(t, w, "http://site.example/"); r.Code != wire.OK || r.Status != http.StatusFound || string(r.Body) != "lost" {
			t.Errorf("%v, status %d, %q, want the page as it is", r.Code, r.Status, r.Body)
		}
	})
}
