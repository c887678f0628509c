package trust

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const firstPages = 20

// findings is what comparing comes to, for altered pages of every kind on sites of every kind.
func findings() (list []Finding) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, site := range dynamics {
		for _, alter := range alterations {
			n := r.IntN(1000)
			page := alter(article(n, site(visit{n})), r)
			list = append(list, Judge(read(page), read(article(n, site(visit{n + 1}))), read(article(n, site(visit{n + 2})))))
		}
	}
	return list
}

// An edge that alters one page of a hundred is found within 300 of its pages that are checked, and suspended later.
func TestEdgeThatAltersOnePageInAHundredIsFound(t *testing.T) {
	const runs, within = 5_000, 300
	possible := findings()
	r := rand.New(rand.NewPCG(1, 1))
	found, guilty, pages, checked := 0, 0, 0, 0
	for range runs {
		var s Standing
		known, now := make([]Site, 50), time.Unix(0, 0)
		for n := 1; n <= 20_000 && !s.Suspended; n++ {
			s.Pages++
			if r.Float64() >= s.Rate(0.02, firstPages) {
				continue
			}
			lease := int64(n / 16)
			site := &known[int(lease)*7%len(known)]
			now = now.Add(time.Second)
			if r.Float64() >= altering {
				s.Match()
				site.Match("liar")
			} else if f := possible[r.IntN(len(possible))]; f == Altered {
				s.Mismatch(site.Mismatch("liar", lease, WeightTLS, now))
			} else if f == Numbers {
				s.Mismatch(site.Mismatch("liar", lease, WeightNumbers, now))
			}
			if s.Mismatches == 1 && s.Clean == 0 {
				if s.Matches < within {
					found++
				}
				pages += int(s.Pages)
			}
			if s.Matches+s.Mismatches > 2000 {
				break
			}
		}
		if s.Suspended {
			guilty++
			checked += int(s.Matches + s.Mismatches)
		}
	}
	share := float64(found) / runs
	exact := 1 - math.Pow(1-altering, within) // 0.951, if no altered page that is checked goes unseen
	t.Logf("found within %d checked pages: %.4f of %d edges (exact %.4f); at page %d on average; suspended: %.4f, after %d checked pages",
		within, share, runs, exact, pages/runs, float64(guilty)/runs, checked/max(guilty, 1))
	if exact < 0.95 || share < exact-5*math.Sqrt(exact*(1-exact)/runs) {
		t.Errorf("found: got %.4f of the edges, want %.4f within five standard errors", share, exact)
	}
	if float64(guilty)/runs < 0.95 {
		t.Errorf("suspended: got %.4f of the edges within 2000 checked pages, want 0.95", float64(guilty)/runs)
	}
}

// Honest edges are accused wrongly as often as the weights assume, and by some sites much more: none is suspended, and
// at any moment few are watched.
func TestHonestEdgesAreNeverSuspended(t *testing.T) {
	const edges, pages, sites = 100, 20_000, 100
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(2, 2))
	all, watching := make([]Standing, edges), 0
	known, names := make([]Site, sites), make([]string, edges)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	for n := range pages {
		for i := range all {
			s := &all[i]
			site := (n/16*7 + i*13) % sites // a lease is pages of one site
			now = now.Add(10 * time.Millisecond)
			if r.Float64() >= s.Rate(0.02, firstPages) && !known[site].Disputed(now) {
				continue
			}
			wrong, weight := 0.0001, WeightTLS
			switch {
			case site == 0: // changes in a way that no reading shows
				wrong = 0.3
			case site < 20: // plain
				wrong, weight = 0.001, WeightPlain
			case site < 30: // counts
				wrong, weight = 0.003, WeightNumbers
			}
			name := names[i]
			if r.Float64() >= wrong {
				s.Match()
				known[site].Match(name)
			} else if s.Mismatch(known[site].Mismatch(name, int64(n/16), weight, now)) {
				t.Fatalf("edge %d was suspended after %d matches and %d mismatches", i, s.Matches, s.Mismatches)
			}
		}
	}
	for _, s := range all {
		if s.Name(firstPages) == "watched" {
			watching++
		}
	}
	t.Logf("after %d pages of each of %d edges %d are watched", pages, edges, watching)
	if watching > edges/4 {
		t.Errorf("watched: got %d of %d honest edges, want few", watching, edges)
	}
}

func TestRateFallsWithAGoodNameAndRisesWithAStrike(t *testing.T) {
	var s Standing
	for range firstPages {
		if got := s.Rate(0.02, firstPages); got != 1 {
			t.Fatalf("rate of a new edge after %d pages: got %v, want 1", s.Matches, got)
		}
		s.Match()
	}
	for range 80 {
		s.Match()
	}
	if got := s.Rate(0.02, firstPages); got != 0.2 {
		t.Errorf("rate after 100 pages: got %v, want 0.2", got)
	}
	for range 5000 {
		s.Match()
	}
	if got := s.Rate(0.02, firstPages); got != 0.02 || s.Share() != 1 {
		t.Errorf("rate with a name: got %v and share %v, want 0.02 and 1", got, s.Share())
	}
	s.Mismatch(WeightNumbers)
	if got := s.Rate(0.02, firstPages); got != 1 || s.Share() >= 1 {
		t.Errorf("after the weakest strike: got rate %v and share %v, want 1 and less than 1", got, s.Share())
	}
}

func TestOneLeaseSuspendsNobody(t *testing.T) {
	var s Standing
	var news, shop Site
	now := time.Unix(1, 0)
	for range 16 { // the site was made anew while it was read
		if s.Mismatch(news.Mismatch("a", 1, WeightOwnLine, now)) {
			t.Fatal("suspended for one lease")
		}
	}
	again, one := s, news
	for range 20 {
		one.Match("b")
	}
	if !again.Mismatch(one.Mismatch("a", 2, WeightOwnLine, now)) {
		t.Errorf("not suspended when the same site accuses it again, and nobody else: %+v", again)
	}
	if !s.Mismatch(shop.Mismatch("a", 3, WeightOwnLine, now)) {
		t.Errorf("not suspended with two sites against it: %+v", s)
	}
}

func TestSiteThatAccusesEverybodyWeighsLittle(t *testing.T) {
	var moody Site
	now := time.Unix(1, 0)
	var edges [5]Standing
	for lease := range int64(100) {
		for range 16 {
			i := int(lease) % len(edges)
			if edges[i].Mismatch(moody.Mismatch(fmt.Sprint(i), lease, WeightTLS, now)) {
				t.Fatalf("edge %d suspended in lease %d", i, lease)
			}
		}
	}
	if !moody.Disputed(now) || moody.Disputed(now.Add(2*disputeAge)) {
		t.Error("a site that accuses is disputed, and not for ever")
	}
}

func TestForgedSignatureSuspendsAtOnce(t *testing.T) {
	var forger Standing
	if !forger.Forged() || forger.Forged() {
		t.Error("a forged signature is to suspend at once, and once")
	}
}
