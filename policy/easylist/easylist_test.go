package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyWholeHostsAreTaken(t *testing.T) {
	c := categories{}
	c.read(`[Adblock Plus 2.0]
! *** easylist:easylist/easylist_adservers.txt ***
||ads.example^
||Tracker.example^$third-party
||path.example/ads/
||some.example^$domain=news.example
||own.example^$~third-party
||shop.example^$ping
||image.example^$third-party,image
||192.0.2.1^
||wild*.example^
||facebook.com^$third-party
/banner/
@@||excepted.example^
! *** easylist:easylist_adult/adult_specific_hide.txt ***
site-a.example,~not.site-a.example,site-b.example##.ad
! *** easylist:easylist_adult/adult_specific_block.txt ***
/ad.js$script,domain=site-c.example|~site-d.example
||site-e.example/ads/
reddit.com##.ad
! *** easylist:easyprivacy/easyprivacy_trackingservers_mining.txt ***
||miner.example^
`)
	got := map[string][]string{}
	for name, domains := range c {
		got[name] = slices.Sorted(maps.Keys(domains))
	}
	want := map[string][]string{
		"ad-measurement": {"ads.example", "tracker.example"},
		"adult":          {"site-a.example", "site-b.example", "site-c.example", "site-e.example"},
		"tor-vpn-mining": {"miner.example"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
