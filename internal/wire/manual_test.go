package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestManualListsTheCodes holds docs/codes.md, which is written from the table: run with -update after a change of it.
func TestManualListsTheCodes(t *testing.T) {
	const path = "../../docs/codes.md"
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := codesPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s (-codes.go +page):\n%s", path, diff)
	}
}

func TestEveryCodeHasAdvice(t *testing.T) {
	for _, c := range Codes() {
		if s, ok := advice[c]; !ok || s == "" || strings.ContainsAny(s, "|\n") || strings.HasSuffix(s, ".") {
			t.Errorf("%s: advice %q will not do", c, s)
		}
	}
	if len(advice) != len(codes) {
		t.Errorf("advice on %d codes, want %d", len(advice), len(codes))
	}
}

// codeGroups are the chapters of the page, by the high byte of their codes.
var codeGroups = []struct{ title, text string }{
	{"The request and who makes it", "Yours to mend. Nothing was sent to the target."},
	{"Destinations nobody may reach", "The address gate stands at the door and again at the edge, and never opens: [the gate](design/gate.md)."},
	{"What a line does not carry", "An owner's rule or the network's worked: [the policy of a line](policy.md)."},
	{"An edge that cannot serve now", "The relay has tried other edges before it tells one of these, unless the session is hard."},
	{"The relay and the hub", "Ours to mend."},
	{"The session and its account", "Between edge and relay; a partner meets them when no other edge could step in."},
	{"The target", "The request reached a line, and the site failed it."},
	{"Crawling", "At the [crawl API](crawl-api.md) only."},
}

func codesPage() string {
	b := new(strings.Builder)
	b.WriteString(`# Codes

One closed set of codes explains every refusal, on every road: at the [proxy](partners.md), in the [crawl API](crawl-api.md), on
the owner's page, and between peers (PROTOCOL.md has the numbers). This page is written from the program's table.

An HTTP answer that is a refusal of ours, and not the target's, always has these fields and a body that says the same in words:

| field | holds |
|---|---|
| ` + "`Sward-Error`" + ` | the code |
| ` + "`Sward-Fault`" + ` | who can mend it: client, policy (a rule worked: nobody's fault), edge, relay or target |
| ` + "`Sward-Billable`" + ` | ` + "`?0`" + `: nothing is charged; ` + "`?1`" + `: the bytes that had moved are |
| ` + "`Proxy-Status`" + ` | ` + "`sward; error=…; details=\"…\"`" + ` ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)) |
| ` + "`Retry-After`" + ` | seconds, where waiting helps |

A SOCKS5 client gets the reply's number, or, for what is wrong with its login, the same number as the status of the login. A
refused request never has status 200 and never an empty body.

In the tables, *billed* is what ` + "`Sward-Billable`" + ` says: *no*, or *what moved* where the code can also end what has begun.
*Retry* is the wait that is told when nothing better is known.
`)
	for i, g := range codeGroups {
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n| code | meaning | HTTP | SOCKS | Proxy-Status | fault | billed | retry | what to do |\n|---|---|---|---|---|---|---|---|---|\n", g.title, g.text)
		for _, c := range Codes() {
			if int(c>>8) != i+1 {
				continue
			}
			billed, retry := "no", ""
			if c.Midway() {
				billed = "what moved"
			}
			if d := c.Retry(); d > 0 {
				retry = fmt.Sprintf("%d s", d/time.Second)
			}
			fmt.Fprintf(b, "| `%s` | %s | %d | %d | %s | %s | %s | %s | %s |\n",
				c, c.Meaning(), c.HTTPStatus(), c.SOCKS(), c.ProxyError(), c.Owner(), billed, retry, c.Advice())
		}
	}
	return b.String()
}

func TestPageHasEveryCode(t *testing.T) {
	page := codesPage()
	for _, c := range Codes()[1:] {
		if !strings.Contains(page, "| `"+c.Name()+"` |") {
			t.Errorf("%s is in no chapter", c)
		}
	}
}
