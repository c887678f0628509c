package edge

import (
	"context"
	"errors"
	"sync"
	"testing"

	"sward/accounting"
	"sward/internal/identity"
	"sward/policy"
)

func TestAllowanceOfTheHouseholdIsACap(t *testing.T) {
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: 1 << 40}, fixed(noon))
	wake := make(chan struct{}, 1)
	v.low = wake
	today, month := v.period.Day, v.period.Month
	for _, c := range []struct {
		name  string
		allow accounting.HouseholdVolume
		want  int64 // that may move now
		rule  string
		asks  bool
	}{
		{"nothing said yet", accounting.HouseholdVolume{}, 0, "cap_month", true},
		{"a part of the day", accounting.HouseholdVolume{Day: today, Month: month, DayBytes: 1000, MonthBytes: -1}, 1000, "cap_day", true},
		{"more of the day, less of the month", accounting.HouseholdVolume{Day: today, Month: month, DayBytes: 9000, MonthBytes: 3000}, 2000, "cap_month", true},
		{"another day's", accounting.HouseholdVolume{Day: "2020-01-01", Month: month, DayBytes: 1 << 30, MonthBytes: -1}, 0, "cap_day", true},
	} {
		v.share(&c.allow)
		if v.wants() != (c.want == 0) {
			t.Errorf("%s: wants more is %v before anything has moved", c.name, v.wants())
		}
		moved, rule := drain(v, policy.Down, 300)
		if moved != c.want || rule != c.rule {
			t.Errorf("%s: moved %d and stopped by %s, want %d and %s", c.name, moved, rule, c.want, c.rule)
		}
		if _, err := v.room(); !errors.Is(err, policy.ErrDenied) {
			t.Errorf("%s: new streams are let in: %v", c.name, err)
		}
		if !v.wants() {
			t.Errorf("%s: wants no more when all is used", c.name)
		}
		select {
		case <-wake:
		default:
			t.Errorf("%s: nobody is asked for more", c.name)
		}
	}
	v.share(nil)
	if r, err := v.reserve(policy.Down, 500); err != nil || r.n != 500 {
		t.Errorf("out of the household: %+v, %v", r, err)
	}
}

// A device that has shared a cap serves nothing after a restart before the hub has said how much is left.
func TestShareIsAskedForAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	if err := writeFile(dir+"/"+householdFile, []byte(`{"near":[],"name":"x","agreed":true,"members":[],"caps":{"day":0,"month":0,"billing_day":0,"time_zone":""},"used":{"day":"","month":"","day_bytes":0,"month_bytes":0}}`)); err != nil {
		t.Fatal(err)
	}
	v := mustVolume(t, dir, policy.Caps{}, fixed(noon))
	if _, err := openKin(dir, v); err != nil {
		t.Fatal(err)
	}
	if _, err := v.reserve(policy.Up, 1); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("got %v, want a refusal", err)
	}
	if err := writeFile(dir+"/"+householdFile, []byte(`{`)); err != nil {
		t.Fatal(err)
	}
	if _, err := openKin(dir, v); err == nil {
		t.Error("a household that cannot be read is forgotten")
	}
}

// claimingHub says that this device is in a household whose month begins today.
type claimingHub struct{ testHub }

func (*claimingHub) Household(context.Context, accounting.HouseholdCall) (accounting.HouseholdAnswer, error) {
	return accounting.HouseholdAnswer{
		Name: "x", Agreed: true, Caps: accounting.HouseholdCaps{BillingDay: noon.Day(), Zone: "UTC"},
	}, nil
}

// A hub that lies about a household begins no new month for an owner who has not joined one.
func TestNoCalendarOfAHouseholdThatTheOwnerDidNotJoin(t *testing.T) {
	settings := testSettings()
	settings.Caps.BillingDay = noon.Day()%28 + 1
	e, err := New(Config{
		Key: mustKey(t), Network: testNetwork, Hub: &claimingHub{}, HubID: mustKey(t).ID(), Dir: t.TempDir(), Settings: settings, Clock: fixed(noon),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	mine := e.volume.used().period.Month
	for _, c := range []struct {
		act    string
		adopts bool
	}{{"", false}, {"", false}, {accounting.HouseholdAgree, true}, {"", true}, {accounting.HouseholdLeave, false}, {"", false}} {
		if err := e.askHousehold(t.Context(), c.act, identity.ID{}); err != nil {
			t.Fatal(err)
		}
		if got := e.volume.used().period.Month; got != mine != c.adopts {
			t.Errorf("after %q the month began on %s, mine on %s, adopts %t", c.act, got, mine, c.adopts)
		}
	}
}

// What the hub says of the household may come in while the owner changes the caps: the new ones hold.
func TestCapsAreThoseOfTheLastChange(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	r.next()
	for i := range 25 { // the relay of this test takes 64 statuses
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() { e.adoptCalendar(e.household()) })
		}
		s := e.Settings()
		s.Caps.Day = policy.Size(1_000_000 + i)
		if err := e.Change(s); err != nil {
			t.Fatal(err)
		}
		asking.Wait()
		if got := e.volume.used().caps.Day; got != int64(s.Caps.Day) {
			t.Fatalf("the cap in force is %d, want %d", got, s.Caps.Day)
		}
	}
}
