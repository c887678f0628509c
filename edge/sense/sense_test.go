package sense

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// owner is who gives way: what is held, and the texts.
type owner struct {
	switches Switches
	held     map[string]string
}

func (o *owner) sensor() *Sensor {
	o.held = map[string]string{}
	return New(Config{
		Switches: func() Switches { return o.switches },
		Hold:     func(name, text string) { o.held[name] = text },
		Release:  func(name string) { delete(o.held, name) },
		Carried:  func() (int64, int64) { return 0, 0 },
	})
}

func (o *owner) names() []string {
	names := []string{}
	for _, name := range []string{Battery, Busy, Metered, VPN} {
		if _, ok := o.held[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

func TestAHoldComesAtOnceAndGoesSlowly(t *testing.T) {
	var o owner
	s := o.sensor()
	now := time.Now()
	s.now = func() time.Time { return now }
	steps := []struct {
		what string
		fact Fact
		wait time.Duration // before
		want []string
	}{
		{"plugged in", Fact{Battery, No, ""}, 0, []string{}},
		{"unplugged", Fact{Battery, Yes, "a"}, lookEvery, []string{Battery}},
		{"plugged in again", Fact{Battery, No, ""}, lookEvery, []string{Battery}},
		{"still", Fact{Battery, No, ""}, leaveAfter - lookEvery, []string{Battery}},
		{"the plug is moved", Fact{Battery, Yes, "b"}, lookEvery, []string{Battery}},
		{"and is back", Fact{Battery, No, ""}, lookEvery, []string{Battery}},
		{"for long", Fact{Battery, No, ""}, leaveAfter, []string{}},
		{"the line is used for a moment", Fact{Busy, Yes, ""}, lookEvery, []string{}},
		{"and no more", Fact{Busy, No, ""}, lookEvery, []string{}},
		{"used", Fact{Busy, Yes, ""}, lookEvery, []string{}},
		{"and used", Fact{Busy, Yes, ""}, lookEvery, []string{Busy}},
		{"the system stops telling", Fact{Busy, Unknown, ""}, 10 * leaveAfter, []string{Busy}},
		{"quiet", Fact{Busy, No, ""}, lookEvery, []string{Busy}},
		{"quiet for long", Fact{Busy, No, ""}, leaveAfter, []string{}},
		{"nothing is ever guessed", Fact{Metered, Unknown, ""}, lookEvery, []string{}},
	}
	for _, step := range steps {
		now = now.Add(step.wait)
		s.mu.Lock()
		s.judgeLocked(step.fact)
		s.mu.Unlock()
		if diff := cmp.Diff(step.want, o.names()); diff != "" {
			t.Errorf("%s: %s", step.what, diff)
		}
	}
	if lookEvery*time.Duration(patience[Busy]) > 10*time.Second || lookEvery > 5*time.Second {
		t.Error("an edge gives way within ten seconds") // H13
	}
}

func TestASwitchTurnedOffReleasesAtOnce(t *testing.T) {
	o := owner{switches: Switches{Battery: true}}
	s := o.sensor()
	s.judgeLocked(Fact{Battery, Yes, ""})
	s.judgeLocked(Fact{VPN, Yes, ""})
	o.switches = Switches{VPN: true}
	s.dropLocked(Battery)
	if got := o.names(); !cmp.Equal(got, []string{VPN}) {
		t.Errorf("held for %v, want %s", got, VPN)
	}
	o.switches = Switches{}
	s.Pass()
	if got := o.names(); len(got) != 0 {
		t.Errorf("with every switch off it is held for %v", got)
	}
}

func TestEveryFactHasItsSentence(t *testing.T) {
	var o owner
	facts := o.sensor().Facts()
	var names []string
	for _, f := range facts {
		if names = append(names, f.Name); f.Text == "" || f.State != Yes && f.State != No && f.State != Unknown {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{Battery, Metered, VPN, Busy}; !cmp.Equal(names, want) {
		t.Errorf("facts %v, want %v", names, want)
	}
}
