package dashboard

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sward/edge"
)

// TestAnOwnerClicksThrough does what an owner does in the first minutes: read and agree, pause and go on, by mouse and by
// keyboard, block a site, and find that it stays so.
func TestAnOwnerClicksThrough(t *testing.T) {
	p := startPanel(t)
	p.set(edge.Status{Edge: mustID(t), Network: "test", Why: "no_consent"})
	b := openBrowser(t, p.Link())
	text := func(selector string) string {
		t.Helper()
		return evaluate[string](b, "document.querySelector('"+selector+"').innerText")
	}
	b.do(chromedp.WaitVisible(chromedp.CSS(".points")))
	if address := evaluate[string](b, "location.href"); strings.Contains(address, "code") || !strings.HasSuffix(address, "/consent") {
		t.Errorf("after signing in the address is %s, want the consent page and no code", address)
	}
	if cookie := evaluate[string](b, "document.cookie"); cookie != "" {
		t.Errorf("scripts can read the cookie: %q", cookie)
	}
	if n := evaluate[int](b, "document.querySelectorAll('.points li').length"); n != 8 {
		t.Errorf("the owner sees %d things to know, want 8", n)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#phrase"), "yes"))
	if !evaluate[bool](b, "document.querySelector('.agree button').disabled") {
		t.Error("any word wakes the button")
	}
	b.do(chromedp.Click(chromedp.CSS(".corner a"))) // away, and nothing is agreed
	b.do(chromedp.WaitVisible(chromedp.CSS("#phrase")))
	if agreed, err := edge.Agreed(p.dir); agreed || err != nil {
		t.Fatalf("agreed: %v, %v before anything was typed", agreed, err)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#phrase"), "i agree"))
	p.set(edge.Status{Edge: mustID(t), Network: "test", Serving: true})
	b.do(chromedp.Click(chromedp.CSS(".agree button")), chromedp.WaitVisible(chromedp.CSS(".hero h1")))
	if agreed, err := edge.Agreed(p.dir); !agreed || err != nil {
		t.Errorf("agreed: %v, %v after the phrase was typed", agreed, err)
	}

	b.do(chromedp.Click(chromedp.CSS(".menu summary")), chromedp.Click(chromedp.CSS(".menu button[value='1h']")), chromedp.WaitVisible(chromedp.CSS(".hero form[action='/resume']")))
	if got := text(".hero h1"); got != "Paused by you" {
		t.Errorf("after a pause the page says %q", got)
	}
	if err := p.doll.Resume(); err != nil { // by somebody else, at the terminal
		t.Fatal(err)
	}
	b.do(chromedp.WaitVisible(chromedp.CSS(".hero .badge.good"))) // without a click
	evaluate[bool](b, "document.querySelector('.menu summary').focus(), true")
	b.do(chromedp.SendKeys(chromedp.CSS(".menu summary"), "\r"), chromedp.WaitVisible(chromedp.CSS(".menu[open] form")))
	b.do(chromedp.SendKeys(chromedp.CSS(".menu summary"), "\x1b"), chromedp.WaitVisible(chromedp.CSS(".menu:not([open])")))
	if !evaluate[bool](b, "document.activeElement.matches('.menu summary')") {
		t.Error("Escape closes the menu and loses the place")
	}

	p.fill(t)
	b.goTo(p.URL()+"log", "table.cards")
	b.do(chromedp.Click(chromedp.CSS("button[aria-label='Block garden-chairs.example']")), chromedp.WaitVisible(chromedp.CSS(".told")))
	if rules := p.Settings().Policy.Deny; len(rules) != 2 || rules[1] != "garden-chairs.example" {
		t.Errorf("after blocking the owner's rules deny %v", rules)
	}
	b.goTo(p.URL()+"settings?ask=www.garden-chairs.example#test", ".verdict")
	if got := text(".answer"); !strings.HasPrefix(got, "No") || !strings.Contains(got, "garden-chairs.example") {
		t.Errorf("may the blocked site be visited? %q", got)
	}
	if got := text("pre code"); !strings.Contains(got, "- garden-chairs.example") {
		t.Errorf("the file that is shown lacks the rule:\n%s", got)
	}
	for _, line := range b.said() {
		t.Errorf("the browser says: %s", line)
	}
}
