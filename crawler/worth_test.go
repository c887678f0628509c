package crawler

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/crawler/fetch"
	"sward/internal/wire"
)

const sentence = "The meadow is mown late in the year, so that the birds can raise their young and the seeds of the flowers ripen. "

// TestFlawsAreTold has pages in the shape in which the walls and notices of real makers and shops come, and beside each an
// honest page that looks like it. (J25)
func TestFlawsAreTold(t *testing.T) {
	for _, c := range []struct {
		name, url, body, formats, want string
		flags                          uint8
		hops                           []string
	}{
		{name: "a page", body: "<title>Meadows</title><p>" + sentence, want: ""},
		{name: "a short page", body: "<p>OK", want: ""},

		{name: "cut off by size", body: "<p>" + sentence, flags: wire.PageDecodedTruncated, want: codeTruncated},
		{name: "cut off by time", body: "<p>" + sentence, flags: wire.PageTimeTruncated, want: codeTruncated},

		{name: "Cloudflare's challenge", body: `<title>Just a moment...</title><div class="main-wrapper"><h1>site.test</h1></div><noscript>Enable JavaScript and cookies to continue</noscript><script>window._cf_chl_opt={cvId:'3'}</script>`, want: codeCaptcha},
		{name: "behind Cloudflare", body: `<title>Hours</title><p>Open from nine to five.</p><script>a.src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'</script>`, want: ""},
		{name: "Imperva's", body: `<html><head><META NAME="robots" CONTENT="noindex,nofollow"></head><iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=27">Request unsuccessful. Incapsula incident ID: 8</iframe>`, want: codeCaptcha},
		{name: "behind Imperva", body: `<title>Hours</title><p>Open from nine to five.</p><script src="/_Incapsula_Resource?SWJIYLWA=719d"></script>`, want: ""},
		{name: "a shop's", body: `<title>Robot Check</title><form action="/errors/validateCaptcha"><p>Enter the characters you see below</p></form>`, want: codeCaptcha},
		{name: "DataDome's", body: `<title>shop.test</title><p>Please enable JS and disable any ad blocker</p><script>var dd={'host':'geo.captcha-delivery.com'}</script>`, want: codeCaptcha},
		{name: "Distil's", body: `<title>Pardon Our Interruption</title><p>Something about your browser made us think you are automated.</p>`, want: codeCaptcha},
		{name: "Anubis", body: `<title>Making sure you&#39;re not a bot!</title><p>Loading</p><script id="anubis_challenge" type="application/json">{}</script>`, want: codeCaptcha},
		{name: "a poem", body: `<title>Just a moment - Poems</title><p>` + sentence + `</p><noscript><img src=x></noscript>`, want: ""},
		{name: "a contact form with a captcha", body: `<title>Contact</title><p>Write to us.</p><form><input name=mail><div class="g-recaptcha"></div></form>`, want: ""},
		{name: "an entry about captchas", body: `<title>captcha - Dictionary</title><p>A test that tells people from programs.</p>`, want: ""},
		{name: "an article about walls", body: `<title>Attention Required! | Blog</title><p>` + strings.Repeat(sentence, 20) + `captcha _cf_chl_opt</p>`, want: ""},

		{name: "a login form", body: `<title>Log in | Site</title><form><input name=user><input type=password name=pass></form>`, want: codeLogin},
		{name: "a login form in German", body: `<title>Anmelden – Verein</title><p>Bitte melden Sie sich an.</p><form><input type=password></form>`, want: codeLogin},
		{name: "sent to a login form", url: "http://site.test/users/sign_in?next=%2Freports", hops: []string{"http://site.test/reports"}, body: `<title>Company</title><form><input type=password></form>`, want: codeLogin},
		{name: "a page with a login box", body: `<title>Forum</title><form><input type=password></form><p>` + sentence, want: ""},
		{name: "an article with a login box", body: `<title>Login</title><form><input type=password></form><p>` + strings.Repeat(sentence, 20), want: ""},
		{name: "how to log in", body: `<title>Log in</title><p>Press the green button.`, want: ""},
		{name: "the address of a sign-in guide", url: "http://site.test/docs/login", body: `<title>Guide</title><form><input type=password></form><p>` + sentence, want: ""},

		{name: "a missing page", body: `<title>Page not found - Site</title><h1>Oops</h1><p>Try the search.`, want: codeMissing},
		{name: "a missing page, with a menu", body: `<title>404 Not Found</title><ul>` + strings.Repeat(`<li><a href=/x>Some entry of the menu</a>`, 100) + `</ul>`, want: codeMissing},
		{name: "a missing page in Japanese", body: `<title>ページが見つかりません | 会社</title><p>申し訳ありません</p>`, want: codeMissing},
		{name: "the number of a room", body: `<title>Room 404</title><p>It is on the fourth floor.`, want: ""},
		{name: "a page about errors", url: "http://site.test/status/404", body: `<title>404 Not Found - Status codes</title><p>The server has no such page.`, want: ""},
		{name: "an article about errors", body: `<title>404 Not Found | Encyclopaedia</title><p>` + strings.Repeat(sentence, 10), want: ""},
		{name: "a story", body: `<title>Page not found, again: a story</title><p>` + sentence, want: ""},

		{name: "no bytes", body: " \n", want: codeEmpty},
		{name: "a shell for scripts", body: `<title>App</title><div id=root></div><script src=/app.js></script><noscript>You need to enable JavaScript to run this app.</noscript>`, want: codeEmpty},
		{name: "a shell whose source is wanted", formats: `["rawHtml"]`, body: `<title>App</title><div id=root></div>`, want: ""},
		{name: "a shell for the archive", formats: `["warc"]`, body: `<title>App</title><div id=root></div>`, want: ""},
		{name: "a picture", body: `<title>Photo</title><img src=/meadow.jpg>`, want: ""},
		{name: "a list of links", body: `<a href=/1>1</a><a href=/2>2</a>`, want: ""},
	} {
		for _, formats := range []string{c.formats, `["warc"]`} { // the archive's reading has to see the same
			if formats == "" {
				formats = `["markdown"]`
			}
			if c.want == codeEmpty && len(strings.TrimSpace(c.body)) > 0 && formats == `["warc"]` {
				continue
			}
			address := c.url
			if address == "" {
				address = "http://site.test/page"
			}
			at, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			var order ScrapeOptions
			if err := json.Unmarshal([]byte(`{"formats":`+formats+`}`), &order); err != nil {
				t.Fatal(err)
			}
			a := arrival{asked: address, Result: fetch.Result{
				Body: []byte(c.body), Response: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"), Hops: c.hops,
			}}
			a.Flags = c.flags
			x, err := contentOf(t.Context(), order, a, at)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got := ""
			if f := flawOf(a, x, at, order); f != nil {
				got = f.code
			}
			if got != c.want {
				t.Errorf("%s, %s: got %q, want %q (shown %d, said %d)", c.name, formats, got, c.want, x.Shown, x.Said)
			}
		}
	}
}

// TestPagesThatAreNoneCostNothing has a crawl meet a wall, a notice and a shell: they are named among the errors, the address
// behind the notice is not followed, and what is delivered and counted are the pages.
func TestPagesThatAreNoneCostNothing(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{
		"/":      crawltest.Page("root", "/wall", "/gone", "/shell", "/b"),
		"/b":     crawltest.Page("b"),
		"/wall":  `<title>Just a moment...</title><a href="/behind">x</a><script>window._cf_chl_opt={}</script>`,
		"/gone":  `<title>Page not found</title><p>Oops. <a href="/trap">Try this</a></p>`,
		"/shell": `<title>App</title><div id=root></div>`,
		"/trap":  crawltest.Page("trap"), "/behind": crawltest.Page("behind"),
	})
	p := start(t, config(n, t.TempDir()))
	for _, formats := range []string{"markdown", "warc"} {
		j, documents := p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": object{"formats": []string{formats}, "maxAge": 0}})
		got := make(map[string]string)
		for _, e := range p.failed(j) {
			got[strings.TrimPrefix(e.URL, root)] = e.Code + " " + e.Owner
		}
		failed := map[string]string{"wall": codeCaptcha + " target", "gone": codeMissing + " target", "shell": codeEmpty + " target"}
		pages := []string{"/", "/b"}
		if formats == "warc" { // an archive has the shell as it is
			delete(failed, "shell")
			pages = append(pages, "/shell")
		}
		if diff := cmp.Diff(failed, got); diff != "" {
			t.Errorf("%s: errors (-want +got):\n%s", formats, diff)
		}
		if diff := cmp.Diff(pages, paths(documents)); diff != "" || j.State != Completed || j.Completed != len(pages) {
			t.Errorf("%s: %v, %d completed (-want +got):\n%s", formats, j.State, j.Completed, diff)
		}
	}
}
