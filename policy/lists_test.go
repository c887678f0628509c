package policy

import (
	"slices"
	"testing"
)

// Every category that is denied by default holds what it is named for, and nothing of it is reached through a home.
func TestListsHoldWhatTheyAreNamedFor(t *testing.T) {
	closed := compile(t, func(*Rules) {})
	for category, hosts := range map[string][]string{
		"ad-measurement": {"ad.doubleclick.net", "www.google-analytics.com", "adnxs.com", "static.criteo.net", "pixel.quantserve.com", "a.1800gotjunk.com"},
		"adult":          {"www.pornhub.com", "cdn.xvideos.com", "anything.xxx", "www.xnxx.com", "justthegays.com", "onlyfans.com"},
		"banking":        {"www.chase.com", "meine.sparkasse.de", "onlinebanking.smallbank.example", "secure.my.bank", "wise.com", "www.coinbase.com", "paypal.com"},
		"cloud-metadata": {"metadata.google.com", "127.0.0.1.nip.io", "a.b.sslip.io"},
		"gambling":       {"www.bet365.com", "anything.casino", "stake.com", "www.pokerstars.eu"},
		"government":     {"www.irs.gov", "www.service.gov.uk", "tribunal.gob.mx", "impots.gouv.fr", "www.parliament.uk", "english.go.kr"},
		"health":         {"www.nhs.uk", "mychart.hospital.example", "www.doctolib.fr", "www.cvs.com"},
		"home-router":    {"fritz.box", "www.routerlogin.net", "tplinkwifi.net"},
		"mail":           {"mail.google.com", "webmail.company.example", "outlook.live.com", "proton.me", "owa.company.example.com"},
		"military":       {"www.army.mil", "www.bundeswehr.de", "exercito.mil.br"},
		"signup-sms":     {"5sim.net", "www.mailinator.com", "signup.social.example", "2captcha.com"},
		"tax":            {"www.elster.de", "turbotax.intuit.com", "taxfix.de"},
		"ticketing":      {"www.ticketmaster.com", "www.eventim.de"},
		"tor-vpn-mining": {"www.torproject.org", "nordvpn.com", "coinhive.com", "vpn.company.example", "xmr.pool.example"},
		"voting":         {"www.change.org", "vote.org", "vote.party.example"},
	} {
		for _, host := range hosts {
			h := mustHost(t, host)
			var all []string
			for suffix := h.Name(); suffix != ""; suffix = parent(suffix) {
				all = append(all, BuiltIn().namesOf(suffix, suffix == h.Name())...)
			}
			if !slices.Contains(all, category) {
				t.Errorf("%s is under %v, want %s", host, all, category)
			}
			if err := closed.domains.check(h); err == nil {
				t.Errorf("%s (%s) is allowed by default", host, category)
			}
		}
	}
	if len(descriptions) != 15 {
		t.Errorf("%d categories, the table here has 15", len(descriptions))
	}
}

func parent(name string) string {
	for i := range name {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return ""
}

// A list that is too wide costs the owner what they could have earned, and partners the open web.
func TestListsLeaveTheOrdinaryWebOpen(t *testing.T) {
	open := compile(t, func(*Rules) {})
	for _, host := range []string{
		"www.google.com", "www.bing.com", "duckduckgo.com", "search.yahoo.com", "www.yahoo.com", "www.baidu.com", "yandex.ru", "www.qq.com", "www.naver.com", "www.seznam.cz",
		"en.wikipedia.org", "www.wikidata.org", "archive.org", "stackoverflow.com", "github.com", "gitlab.com", "pypi.org", "www.npmjs.com", "pkg.go.dev", "docs.python.org", "developer.mozilla.org", "arxiv.org", "www.nature.com", "doi.org",
		"www.amazon.com", "www.amazon.de", "www.ebay.com", "www.etsy.com", "www.walmart.com", "www.target.com", "www.bestbuy.com", "www.ikea.com", "www.zalando.de", "www.otto.de", "allegro.pl", "www.mercadolibre.com.ar", "www.flipkart.com", "www.rakuten.co.jp", "shop.app", "www.aliexpress.com", "www.alibaba.com", "www.temu.com",
		"www.booking.com", "www.expedia.com", "www.airbnb.com", "www.tripadvisor.com", "www.skyscanner.net", "www.kayak.com", "www.lufthansa.com", "www.ryanair.com", "www.hotels.com",
		"www.bbc.com", "www.bbc.co.uk", "edition.cnn.com", "www.nytimes.com", "www.theguardian.com", "www.spiegel.de", "www.lemonde.fr", "elpais.com", "www.repubblica.it", "www.asahi.com", "timesofindia.indiatimes.com", "www.reuters.com", "www.bloomberg.com", "www.ft.com", "www.dailymail.co.uk",
		"www.facebook.com", "www.instagram.com", "x.com", "www.reddit.com", "www.linkedin.com", "www.tiktok.com", "www.pinterest.com", "www.youtube.com", "www.twitch.tv", "vimeo.com", "medium.com", "wordpress.com", "www.tumblr.com", "www.quora.com", "news.ycombinator.com",
		"www.zillow.com", "www.realtor.com", "www.immobilienscout24.de", "www.rightmove.co.uk", "www.indeed.com", "www.glassdoor.com", "www.yelp.com", "www.imdb.com", "www.rottentomatoes.com", "www.goodreads.com", "open.spotify.com", "www.netflix.com", "store.steampowered.com",
		"www.microsoft.com", "www.apple.com", "www.samsung.com", "www.dell.com", "www.intel.com", "www.nvidia.com", "www.oracle.com", "www.ibm.com", "aws.amazon.com", "cloud.google.com", "azure.microsoft.com", "www.cloudflare.com", "www.salesforce.com",
		"www.weather.com", "www.accuweather.com", "www.webmd.com", "www.healthline.com", "www.investopedia.com", "finance.yahoo.com", "www.marketwatch.com", "www.espn.com", "www.transfermarkt.com", "www.fifa.com",
		"example.com", "badchase.com", "mychasebank.example", "nonoutlook.com", "gov.example.com", "mail.example", "notmail.example.com", "casinoroyale.example", "vpnreview.example",
	} {
		h := mustHost(t, host)
		if err := open.domains.check(h); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// What the hub adds closes more, never less, whatever it names; and a category that this program does not know cannot be opened.
func TestAdditionsOnlyTighten(t *testing.T) {
	data, err := BuildTable("2026-11-22.1", map[string]string{
		"gambling": "newcasino.example\nwww.shop.example\n", "dating": "lonely.example\n", "banking": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	more, err := ParseTable(data)
	if err != nil {
		t.Fatal(err)
	}
	rules := DefaultRules()
	rules.Categories = map[string]Verdict{"adult": Allow}
	rules.Allow = []string{"shop.example", "mine.lonely.example"}
	before, err := rules.Compile()
	if err != nil {
		t.Fatal(err)
	}
	after, err := rules.CompileWith(BuiltIn().With(more))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][2]bool{ // open before and after
		"newcasino.example": {true, false}, "a.newcasino.example": {true, false}, "lonely.example": {true, false},
		"mine.lonely.example": {true, true}, "shop.example": {true, true}, "www.shop.example": {true, false},
		"www.chase.com": {false, false}, "www.bet365.com": {false, false}, "pornhub.com": {true, true}, "other.example": {true, true},
	} {
		h := mustHost(t, host)
		if got := [2]bool{before.domains.check(h) == nil, after.domains.check(h) == nil}; got != want {
			t.Errorf("%s: open before and after: got %v, want %v", host, got, want)
		}
	}
	if before.Digest() == after.Digest() {
		t.Error("the digest does not tell the lists apart")
	}
	e := after.Explain(Request{Target: Target{Host: mustHost(t, "lonely.example"), Port: 443}})
	if e.Allowed || e.Decided.Where != "policy.categories.dating" {
		t.Errorf("an unknown category: got %+v", e)
	}
	rules.Categories["dating"] = Allow
	if _, err := rules.CompileWith(BuiltIn().With(more)); err == nil {
		t.Error("a category that this program does not know was opened")
	}
}

func BenchmarkListed(b *testing.B) {
	p, err := DefaultRules().Compile()
	if err != nil {
		b.Fatal(err)
	}
	h := mustHost(b, "a.b.c.example.com")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.domains.check(h); err != nil {
			b.Fatal(err)
		}
	}
}
