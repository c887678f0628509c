package fetch

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/link"
)

// The cases follow RFC 9309: its sections 2.1 to 2.2.4 and 5, and the points on which
// parsers in use are known to differ.
var robotsCases = []struct {
	name, robots, agent, path string
	want                      bool
	rule                      string
}{
	// §2.2.2 access method
	{"empty file allows", "", "SwardBot", "/x", true, ""},
	{"no group allows", "Disallow: /\n", "SwardBot", "/x", true, ""},
	{"disallow all", "User-agent: *\nDisallow: /\n", "SwardBot", "/x", false, "Disallow: /"},
	{"empty disallow allows", "User-agent: *\nDisallow:\n", "SwardBot", "/x", true, ""},
	{"empty allow is no rule", "User-agent: *\nAllow:\nDisallow: /\n", "SwardBot", "/x", false, "Disallow: /"},
	{"robots.txt itself is always allowed", "User-agent: *\nDisallow: /\n", "SwardBot", "/robots.txt", true, ""},
	{"robots.txt with a query is a page", "User-agent: *\nDisallow: /\n", "SwardBot", "/robots.txt?x", false, "Disallow: /"},
	{"empty path is the root", "User-agent: *\nDisallow: /\n", "SwardBot", "", false, "Disallow: /"},
	{"prefix matches", "User-agent: *\nDisallow: /a\n", "SwardBot", "/abc", false, "Disallow: /a"},
	{"prefix of the pattern does not match", "User-agent: *\nDisallow: /abc\n", "SwardBot", "/ab", true, ""},
	{"paths are case-sensitive", "User-agent: *\nDisallow: /A\n", "SwardBot", "/a", true, ""},
	{"pattern without a slash never matches", "User-agent: *\nDisallow: a\n", "SwardBot", "/a", true, ""},
	{"trailing slash is part of the pattern", "User-agent: *\nDisallow: /a/\n", "SwardBot", "/a", true, ""},
	{"query is part of the path", "User-agent: *\nDisallow: /q?b=1&a=2\n", "SwardBot", "/q?b=1&a=2", false, "Disallow: /q?b=1&a=2"},
	{"query order is kept", "User-agent: *\nDisallow: /q?b=1&a=2\n", "SwardBot", "/q?a=2&b=1", true, ""},

	// §2.2.2 longest match, ties
	{"longest wins: allow", "User-agent: *\nDisallow: /a\nAllow: /a/b\n", "SwardBot", "/a/b", true, "Allow: /a/b"},
	{"longest wins: disallow", "User-agent: *\nAllow: /a\nDisallow: /a/b\n", "SwardBot", "/a/b", false, "Disallow: /a/b"},
	{"order does not matter", "User-agent: *\nAllow: /a/b\nDisallow: /a\n", "SwardBot", "/a/b", true, "Allow: /a/b"},
	{"allow wins a tie", "User-agent: *\nDisallow: /a\nAllow: /a\n", "SwardBot", "/a", true, "Allow: /a"},
	{"allow wins a tie, first", "User-agent: *\nAllow: /a\nDisallow: /a\n", "SwardBot", "/a", true, "Allow: /a"},
	{"wildcard counts as an octet", "User-agent: *\nAllow: /a\nDisallow: /*\n", "SwardBot", "/a", true, "Allow: /a"},
	{"longer wildcard wins", "User-agent: *\nAllow: /a\nDisallow: /*.html\n", "SwardBot", "/a.html", false, "Disallow: /*.html"},
	{"RFC 5.2 longest match", "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n", "foobot", "/example/page/disallowed.gif", false, "Disallow: /example/page/disallowed.gif"},
	{"allow with anchor beats prefix", "User-agent: *\nDisallow: /\nAllow: /$\n", "SwardBot", "/", true, "Allow: /$"},
	{"allow with anchor is only that", "User-agent: *\nDisallow: /\nAllow: /$\n", "SwardBot", "/x", false, "Disallow: /"},
	{"escaped octets count once decoded", "User-agent: *\nDisallow: /%61%62\nAllow: /a*\n", "SwardBot", "/ab", true, "Allow: /a*"},

	// §2.2.3 special characters
	{"star in the middle", "User-agent: *\nDisallow: /a*z\n", "SwardBot", "/abcz/d", false, "Disallow: /a*z"},
	{"star matches nothing", "User-agent: *\nDisallow: /a*z\n", "SwardBot", "/az", false, "Disallow: /a*z"},
	{"star crosses slashes", "User-agent: *\nDisallow: /*/z\n", "SwardBot", "/a/b/z", false, "Disallow: /*/z"},
	{"star first", "User-agent: *\nDisallow: *.pdf\n", "SwardBot", "/a/b.pdf", false, "Disallow: *.pdf"},
	{"trailing star is a prefix", "User-agent: *\nDisallow: /a*\n", "SwardBot", "/a", false, "Disallow: /a*"},
	{"two stars are one", "User-agent: *\nDisallow: /a**b\n", "SwardBot", "/axb", false, "Disallow: /a**b"},
	{"several stars keep order", "User-agent: *\nDisallow: /*b*a\n", "SwardBot", "/ab", true, ""},
	{"anchor matches the end", "User-agent: *\nDisallow: /*.php$\n", "SwardBot", "/x.php", false, "Disallow: /*.php$"},
	{"anchor refuses a query", "User-agent: *\nDisallow: /*.php$\n", "SwardBot", "/x.php?y", true, ""},
	{"anchor finds the last occurrence", "User-agent: *\nDisallow: /*a$\n", "SwardBot", "/aba", false, "Disallow: /*a$"},
	{"anchored pieces do not overlap", "User-agent: *\nDisallow: /ab*b$\n", "SwardBot", "/ab", true, ""},
	{"star then anchor", "User-agent: *\nDisallow: /a*$\n", "SwardBot", "/abc", false, "Disallow: /a*$"},
	{"dollar in the middle is itself", "User-agent: *\nDisallow: /a$b\n", "SwardBot", "/a$bc", false, "Disallow: /a$b"},
	{"dollar in the middle is no anchor", "User-agent: *\nDisallow: /a$b\n", "SwardBot", "/a", true, ""},
	{"%2A is the character", "User-agent: *\nDisallow: /file-with-a-%2A.html\n", "SwardBot", "/file-with-a-*.html", false, "Disallow: /file-with-a-%2A.html"},
	{"%2A is no wildcard", "User-agent: *\nDisallow: /file-with-a-%2A.html\n", "SwardBot", "/file-with-a-x.html", true, ""},
	{"%24 is the character", "User-agent: *\nDisallow: /foo-%24\n", "SwardBot", "/foo-$", false, "Disallow: /foo-%24"},
	{"hash starts a comment", "User-agent: * # all\nDisallow: /a # b\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"commented rule is none", "User-agent: *\n#Disallow: /a\n", "SwardBot", "/a", true, ""},

	// §2.2.2 percent-encoding
	{"UTF-8 pattern, escaped path", "User-agent: *\nDisallow: /foo/bar/ツ\n", "SwardBot", "/foo/bar/%E3%83%84", false, "Disallow: /foo/bar/ツ"},
	{"escaped pattern, UTF-8 path", "User-agent: *\nDisallow: /foo/bar/%E3%83%84\n", "SwardBot", "/foo/bar/ツ", false, "Disallow: /foo/bar/%E3%83%84"},
	{"hex case does not matter", "User-agent: *\nDisallow: /%e3%83%84\n", "SwardBot", "/%E3%83%84", false, "Disallow: /%e3%83%84"},
	{"needless escapes in the path", "User-agent: *\nDisallow: /foo/bar/baz\n", "SwardBot", "/foo/bar/%62%61%7A", false, "Disallow: /foo/bar/baz"},
	{"needless escapes in the pattern", "User-agent: *\nDisallow: /foo/bar/%62%61%7A\n", "SwardBot", "/foo/bar/baz", false, "Disallow: /foo/bar/%62%61%7A"},
	{"escaped slash is no slash", "User-agent: *\nDisallow: /a%2Fb\n", "SwardBot", "/a/b", true, ""},
	{"escaped slash in a query is one", "User-agent: *\nDisallow: /foo?baz=https://foo.bar\n", "SwardBot", "/foo?baz=https%3A%2F%2Ffoo.bar", false, "Disallow: /foo?baz=https://foo.bar"},
	{"broken escape is a percent sign", "User-agent: *\nDisallow: /100%\n", "SwardBot", "/100%25", false, "Disallow: /100%"},
	{"space is escaped", "User-agent: *\nDisallow: /a b\n", "SwardBot", "/a%20b", false, "Disallow: /a b"},
	{"binary in the pattern", "User-agent: *\nDisallow: /\xff\x00\n", "SwardBot", "/%FF%00", false, "Disallow: /\x00"},

	// §2.2.1 user-agent line
	{"own group", "User-agent: SwardBot\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"own group hides the others", "User-agent: *\nDisallow: /\nUser-agent: SwardBot\nDisallow: /a\n", "SwardBot", "/b", true, ""},
	{"own empty group allows all", "User-agent: *\nDisallow: /\nUser-agent: SwardBot\nDisallow:\n", "SwardBot", "/b", true, ""},
	{"foreign group", "User-agent: OtherBot\nDisallow: /\n", "SwardBot", "/b", true, ""},
	{"token ignores case", "user-AGENT: SWARDBOT\nDISALLOW: /a\n", "swardbot", "/a", false, "DISALLOW: /a"},
	{"version in the line is ignored", "User-agent: SwardBot/2.1\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"full user agent finds its token", "User-agent: SwardBot\nDisallow: /a\n", DefaultAgent, "/a", false, "Disallow: /a"},
	{"a longer token is another", "User-agent: SwardBotNews\nDisallow: /\n", "SwardBot", "/a", true, ""},
	{"a shorter token is another", "User-agent: Sward\nDisallow: /\n", "SwardBot", "/a", true, ""},
	{"groups for one agent merge", "User-agent: SwardBot\nDisallow: /a\nUser-agent: x\nDisallow: /\nUser-agent: SwardBot\nDisallow: /b\n", "SwardBot", "/b", false, "Disallow: /b"},
	{"merged groups keep the first", "User-agent: SwardBot\nDisallow: /a\nUser-agent: x\nDisallow: /\nUser-agent: SwardBot\nDisallow: /b\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"groups for any agent merge", "User-agent: *\nDisallow: /a\nUser-agent: *\nDisallow: /b\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"several agents share rules", "User-agent: x\nUser-agent: SwardBot\nUser-agent: y\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"star among several agents", "User-agent: x\nUser-agent: *\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"star with a comment after it", "User-agent: * all\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"other records do not end a group", "User-agent: x\nSitemap: https://a.example/s.xml\nCrawl-delay: 2\n\nUser-agent: SwardBot\nDisallow: /a\n", "x", "/a", false, "Disallow: /a"},
	{"blank lines do not end a group", "User-agent: SwardBot\n\n\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"rules before the first group are none", "Disallow: /a\nUser-agent: *\nDisallow: /b\n", "SwardBot", "/a", true, ""},

	// §2.2 lines, §2.3 and what files in the wild look like
	{"CR-only lines", "User-agent: *\rDisallow: /a\rDisallow: /b\r", "SwardBot", "/b", false, "Disallow: /b"},
	{"CRLF lines", "User-agent: *\r\nDisallow: /a\r\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"no end of line at the end", "User-agent: *\nDisallow: /a", "SwardBot", "/a", false, "Disallow: /a"},
	{"byte order mark", "\xef\xbb\xbfUser-agent: *\nDisallow: /a\n", "SwardBot", "/a", false, "Disallow: /a"},
	{"spaces around everything", "  User-agent  :  *  \n\tDisallow\t:\t/a\t\n", "SwardBot", "/a", false, "Disallow\t:\t/a"},
	{"missing colon", "User-agent *\nDisallow /a\n", "SwardBot", "/a", false, "Disallow /a"},
	{"misspelt records", "useragent: *\nDissalow: /a\n", "SwardBot", "/a", false, "Dissalow: /a"},
	{"HTML is no robots.txt", "<!doctype html><html><a href=\"/x\">User-agent</a>", "SwardBot", "/a", true, ""},
	{"colon in the pattern", "User-agent: *\nDisallow: /a:b\n", "SwardBot", "/a:b", false, "Disallow: /a:b"},
}

// J10.
func TestRobotsFollowRFC9309(t *testing.T) {
	if len(robotsCases) < 60 {
		t.Fatalf("%d cases, want at least 60", len(robotsCases))
	}
	for _, c := range robotsCases {
		t.Run(c.name, func(t *testing.T) {
			got := Parse([]byte(c.robots)).Test(c.agent, c.path)
			if want := (Verdict{Allowed: c.want, Rule: c.rule}); got != want {
				t.Errorf("Test(%q, %q) = %+v, want %+v in\n%s", c.agent, c.path, got, want, c.robots)
			}
		})
	}
}

// J07.
func TestRobotsReadOnlyTheFirst500KiB(t *testing.T) {
	padding := strings.Repeat("# padding\n", maxRobots/10)
	head := "User-agent: *\nDisallow: /head\n"
	r := Parse([]byte(head + padding + "Disallow: /tail\n"))
	if got := r.Test("SwardBot", "/head"); got.Allowed {
		t.Errorf("a rule at the start does not count: %+v", got)
	}
	if got := r.Test("SwardBot", "/tail"); !got.Allowed {
		t.Errorf("a rule after the limit counts: %+v", got)
	}

	fill := maxRobots - len(head) - len("Allow: /")
	cut := head + strings.Repeat("#", fill-1) + "\nAllow: /public\nAllow: /h"
	if got := Parse([]byte(cut)).Test("SwardBot", "/head"); got.Allowed {
		t.Errorf("a line cut by the limit counts as a shorter one: %+v", got)
	}
}

func TestRobotsStateDelaySitemapsAndSignals(t *testing.T) {
	r := Parse([]byte(`Sitemap: https://a.example/first.xml
License: https://a.example/terms.xml
User-agent: *
Crawl-delay: 1.5
Content-Usage: train-ai=n
Disallow: /x
User-agent: SwardBot
Crawl-delay: 4
Crawl-delay: nonsense
Site-map: https://a.example/second.xml
User-agent: Slow
User-agent: Slower
Crawl-delay: 1e99
User-agent: Back
Crawl-delay: -3
`))
	if diff := cmp.Diff([]string{"https://a.example/first.xml", "https://a.example/second.xml"}, r.Sitemaps); diff != "" {
		t.Errorf("sitemaps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"License: https://a.example/terms.xml", "Content-Usage: train-ai=n"}, r.Signals("Other")); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
	for agent, want := range map[string]time.Duration{
		"Other": 1500 * time.Millisecond, DefaultAgent: 4 * time.Second, "Slow": maxStatedDelay, "Slower": maxStatedDelay, "Back": 0,
	} {
		if got := r.Delay(agent); got != want {
			t.Errorf("Delay(%q) = %v, want %v", agent, got, want)
		}
	}
}

func TestNoRobotsAllowEverything(t *testing.T) {
	r := new(Robots)
	if got := r.Test("SwardBot", "/x"); !got.Allowed || r.Delay("SwardBot") != 0 || r.Signals("SwardBot") != nil {
		t.Errorf("zero Robots = %+v, delay %v, signals %v, want all allowed", got, r.Delay("SwardBot"), r.Signals("SwardBot"))
	}
}

func TestHostilePatternIsLinear(t *testing.T) {
	r := Parse([]byte("User-agent: *\nDisallow: /" + strings.Repeat("*a", maxRobots/2-20) + "b\n"))
	if got := r.Test("SwardBot", "/"+strings.Repeat("a", 2000)); !got.Allowed {
		t.Errorf("Test = %+v, want allowed: the path is shorter than the pattern", got)
	}
}

func FuzzRobots(f *testing.F) {
	for _, c := range robotsCases {
		f.Add([]byte(c.robots), c.path)
	}
	f.Fuzz(func(t *testing.T, file []byte, path string) {
		r := Parse(file)
		v := r.Test(DefaultAgent, path)
		if !v.Allowed && v.Rule == "" {
			t.Errorf("refused %q without a rule", path)
		}
		if again := r.Test(DefaultAgent, link.CanonicalPath(path)); path != robotsPath && link.CanonicalPath(path) != robotsPath && again != v {
			t.Errorf("canonical form of %q decides %+v, the path itself %+v", path, again, v)
		}
	})
}
