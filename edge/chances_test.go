package edge

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/identity"
	"sward/internal/wire"
)

var chanceTime = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestChancesAccountForEveryRequest(t *testing.T) {
	c := openChances(t.TempDir())
	relay := identity.ID{1}
	c.add(chanceTime, relay, wire.Demand{Period: 60})
	c.add(chanceTime.Add(time.Minute), relay, wire.Demand{
		Period: 60, Seen: 1000, Named: 100, Elsewhere: 300, OtherApp: 50, Eligible: 550, Won: 10, Kept: 10,
		Paused: 200, Full: 30, Capped: 40, Blocked: 10, Fair: 50_000, Lines: 11, Weight: 400,
	})
	got := chanceOf("2026-11-22", *c.days["2026-11-22"], map[string]int{"domain_denied": 2})
	names := []string{}
	for _, r := range got.Why {
		names = append(names, r.Name)
	}
	got.Why = nil
	// 270 were offered, of which an average line would have had 50·270/550 = 24.5, give or take 5.
	want := Chance{
		Day: "2026-11-22", Seen: 1000, Named: 100, Elsewhere: 300, OtherApp: 50, Eligible: 550, Offered: 270, Won: 10, Kept: 10, Fair: 50,
		Missed:  map[string]uint64{missedPaused: 200, missedFull: 30, missedCapped: 40, missedBlocked: 10},
		Lost:    map[string]uint64{lostStanding: 9, lostTurn: 251},
		Refused: map[string]int{"domain_denied": 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the day (-want +got):\n%s", diff)
	}
	wantNames := []string{"elsewhere", "turn", "paused", "named", "other_app", "capped", "full", "won", "blocked", "standing", "refused_domain_denied"}
	if !slices.Equal(names, wantNames) {
		t.Errorf("reasons %v, want %v", names, wantNames)
	}
	if s := c.spoken[relay]; s.Weight != 0.4 || s.Lines != 11 {
		t.Errorf("standing %+v, want weight 0.4 of 11 lines", s)
	}
}

func TestChancesSayWhatIsNotKnown(t *testing.T) {
	if got := chanceOf("2026-11-22", demandDay{}, nil); len(got.Why) != 1 || got.Why[0].Name != "unknown" {
		t.Errorf("before any word: %+v", got.Why)
	}
	if got := chanceOf("2026-11-22", demandDay{Heard: 1}, nil); len(got.Why) != 1 || got.Why[0].Name != "no_demand" {
		t.Errorf("after an empty word: %+v", got.Why)
	}
}

// What a lying relay says of demand harms nothing but the numbers on its owner's screen, and those stay within bounds.
func TestChancesBoundWhatARelaySays(t *testing.T) {
	dir := t.TempDir()
	c := openChances(dir)
	flood := wire.Demand{Seen: 1 << 63, Eligible: 5, Won: 1 << 63, Paused: 1 << 63, Blocked: 1 << 63, Fair: 1 << 63}
	believed := 0
	for i := range 1000 {
		if c.add(chanceTime.Add(time.Duration(i)*time.Second), identity.ID{1}, flood) {
			believed++
		}
	}
	if want := 34; believed != want { // each 30 s of a thousand
		t.Errorf("%d of 1000 frames in 1000 s were believed, want %d", believed, want)
	}
	for i := range 2 * maxSpoken {
		c.add(chanceTime, identity.ID{2, byte(i)}, wire.Demand{})
	}
	if len(c.spoken) > maxSpoken {
		t.Errorf("%d relays are remembered, want at most %d", len(c.spoken), maxSpoken)
	}
	got := chanceOf("2026-11-22", *c.days["2026-11-22"], nil)
	sum := got.Won
	for _, n := range got.Missed {
		sum += n
	}
	if got.Seen > 1000*maxDemand || sum < got.Won || len(got.Missed)+len(got.Lost) != 0 {
		t.Errorf("a day of lies is %+v", got)
	}
	for day := range 2 * chanceDays {
		c.add(chanceTime.AddDate(0, 0, day), identity.ID{3}, wire.Demand{Seen: 1, Elsewhere: 1})
	}
	if err := c.save(); err != nil || len(c.days) != chanceDays {
		t.Errorf("%d days are kept, want %d; %v", len(c.days), chanceDays, err)
	}
	if again := openChances(dir); len(again.days) != chanceDays || again.days["2027-01-22"].Sum.Elsewhere != 1 {
		t.Errorf("after a restart there are %d days", len(again.days))
	}
	if err := os.WriteFile(c.path, []byte(`{"2026-11-22": null, "x": {}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if damaged := openChances(dir); len(damaged.days) != 0 {
		t.Errorf("a damaged file gives %v", damaged.days)
	}
}

// The frame goes the whole way, from the relay's session to the owner's answer.
func TestDemandReachesTheOwner(t *testing.T) {
	relay := newTestRelay(t)
	e, _ := testEdge(t, relay, echo(t))
	s := relay.next()
	if err := s.Send(wire.Demand{Period: 60, Seen: 9, Elsewhere: 9, Lines: 3, Weight: 1000}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the word to arrive", func() bool { return e.Chances().Today.Seen == 9 })
	got := e.Chances()
	if len(got.Relays) != 1 || got.Relays[0].Relay != relay.key.ID() || got.Relays[0].Lines != 3 || got.Today.Why[0].Name != "elsewhere" {
		t.Errorf("Chances = %+v", got)
	}
}
