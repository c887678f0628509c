package gateway

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chapters are what the manual's page of dialects says of each grammar beside its table.
var chapters = map[string]struct {
	example string
	text    string
}{
	"sward": {
		"acme-country-de-region-bavaria-session-abc123-ttl-2h-hard:KEY",
		"`hard` stands alone; every other word has a value behind it. `lifetime` and `type` are Geonode's words, `sesstime` is Illusory's.",
	},
	"brightdata": {
		"brd-customer-acme-zone-residential-country-us-state-ny-session-rand39484:KEY",
		"A session lasts while it is used: until a minute without a request, or a day. `const` behind a session makes it hard.",
	},
	"oxylabs": {
		"customer-acme-cc-DE-city-berlin-sessid-abc12345-sesstime-30:KEY",
		"A session lasts ten minutes, or `sesstime`, and ends after a minute without a request.",
	},
	"iproyal": {
		"acme:KEY_country-us_state-california_session-sgn34f3e_lifetime-30m",
		"The parameters stand behind the key. A lifetime of more than a day, which is taken there, is refused here.",
	},
	"soax": {
		"package-acme-country-us-region-new+york-sessionid-rnd99-sessionlength-300:KEY",
		"A session lasts six minutes, or `sessionlength`.",
	},
	"netnut": {
		"acme-res-de-sid-947271:KEY",
		"",
	},
	"dataimpulse": {
		"acme__cr.fr;sessid.abc123;sessttl.60:KEY",
		"A session lasts half an hour, or `sessttl`. Without `sessid`, `sessttl` makes one session of all requests of the account that ask for the same place, as one port does there.",
	},
}

// TestManualListsTheParameters holds the second half of docs/dialects.md, which is written from the grammars: run with
// -update after a change of them.
func TestManualListsTheParameters(t *testing.T) {
	const path, mark = "../../docs/dialects.md", "\n## The grammars\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, got, _ := strings.Cut(string(text), mark)
	want := grammarPage()
	if *update {
		if err := os.WriteFile(path, []byte(page+mark+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-grammars +page):\n%s", path, diff)
	}
}

func grammarPage() string {
	b := new(strings.Builder)
	b.WriteString("\nThis part of the page is written from the program's tables.\n")
	for _, g := range grammars {
		c := chapters[g.name]
		fmt.Fprintf(b, "\n### %s\n\n    curl -x http://relay.example:7480 --proxy-user '%s' https://shop.example/\n\n", g.title, c.example)
		if c.text != "" {
			b.WriteString(c.text + "\n\n")
		}
		b.WriteString("| parameter | takes | means |\n|---|---|---|\n")
		for _, p := range g.params {
			takes, means := p.takes, p.means
			if takes == "" {
				takes = "nothing"
			}
			if before, _, ok := strings.Cut(takes, ": "); ok && strings.HasPrefix(means, "nothing: ") {
				takes = "`" + before + "`" // only this one
			}
			if p.never != "" {
				takes, means = "", "**refused**: "+p.never
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.word, takes, means)
		}
	}
	return b.String()
}

// Every login that the manual shows is one that the door can read.
func TestLoginsInTheManualAreRead(t *testing.T) {
	logins := regexp.MustCompile(`(?m)^ {4}curl .*(?:--proxy-user '?|https?://)([^\s'@]+:[^\s'@]+)(?:@|'? )`)
	found := 0
	for _, page := range []string{"dialects", "partners"} {
		text, err := os.ReadFile("../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range logins.FindAllStringSubmatch(string(text), -1) {
			user, pass, _ := strings.Cut(m[1], ":")
			l, err := parseLogin(user, pass)
			if found++; err != nil || l.Name != "acme" || l.Key != "KEY" {
				t.Errorf("%s: %q: got %+v, %v, want account acme", page, m[1], l, err)
			}
		}
	}
	if found < len(grammars)+3 {
		t.Errorf("found %d logins, want one for each grammar and a few more", found)
	}
}

// What the page says in words of sessions is what the grammars do.
func TestSessionsLastAsTheManualSays(t *testing.T) {
	for g, want := range map[*grammar][2]time.Duration{
		&sward: {}, &brightData: {24 * time.Hour, time.Minute}, &oxylabs: {10 * time.Minute, time.Minute}, &iproyal: {},
		&soax: {6 * time.Minute}, &netNut: {}, &dataImpulse: {30 * time.Minute},
	} {
		if got := [2]time.Duration{g.ttl, g.idle}; got != want {
			t.Errorf("%s: got %v, want %v", g.name, got, want)
		}
		if _, ok := chapters[g.name]; !ok {
			t.Errorf("%s has no chapter", g.name)
		}
	}
}
