package accounting

import (
	"errors"
	"testing"
	"time"

	"sward/internal/identity"
)

func TestGrantRefusesBadValues(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Grant)
		want   error
	}{
		"limit zero":        {func(g *Grant) { g.Limit = 0 }, ErrCount},
		"limit negative":    {func(g *Grant) { g.Limit = 1 << 63 }, ErrCount},
		"limit past bound":  {func(g *Grant) { g.Limit = MaxCount + 1 }, ErrCount},
		"no id":             {func(g *Grant) { g.ID = GrantID{} }, ErrField},
		"no issuer":         {func(g *Grant) { g.Issuer = identity.ID{} }, ErrField},
		"no relay":          {func(g *Grant) { g.Relay = identity.ID{} }, ErrField},
		"negative time":     {func(g *Grant) { g.Issued = -1 }, ErrField},
		"ends at its start": {func(g *Grant) { g.NotAfter = g.Issued }, ErrField},
		"too long":          {func(g *Grant) { g.NotAfter = g.Issued + MaxGrantLife.Milliseconds() + 1 }, ErrField},
		"time overflows":    {func(g *Grant) { g.Issued, g.NotAfter = -1<<63, 1<<63-1 }, ErrField},
		"no channels":       {func(g *Grant) { g.MaxChannels = 0 }, ErrField},
	} {
		g := testGrant()
		x.change(&g)
		if _, err := ParseGrant(g.Append(nil)); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestGrantIsGoodOnlyInItsTime(t *testing.T) {
	g := testGrant()
	end := time.UnixMilli(g.NotAfter)
	for name, x := range map[string]struct {
		now  time.Time
		want error
	}{
		"at its start":           {testStart, nil},
		"by a clock 5 min late":  {testStart.Add(-maxSkew), nil},
		"by a clock 6 min late":  {testStart.Add(-maxSkew - time.Minute), ErrEarly},
		"at its last instant":    {end.Add(-time.Millisecond), nil},
		"at its end":             {end, ErrExpired},
		"by a clock of 1970":     {time.UnixMilli(0), ErrEarly},
		"by a clock of 2100":     {time.UnixMilli(4_102_444_800_000), ErrExpired},
		"by a clock before 1970": {time.UnixMilli(-1), ErrEarly},
	} {
		if err := g.CheckTime(x.now); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestGrantIsWorthOnlyWhatTheHubSigned(t *testing.T) {
	good := SignGrant(testNetwork, hubKey, testGrant())
	if err := good.Verify(testNetwork, hubKey.ID()); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		network string
		issuer  identity.Key
		change  func(*SignedGrant)
		want    error
	}{
		"another network":   {"main", hubKey, func(*SignedGrant) {}, ErrSignature},
		"another hub":       {testNetwork, otherKey, func(*SignedGrant) {}, ErrIssuer},
		"signed by another": {testNetwork, hubKey, func(g *SignedGrant) { g.Sig = otherKey.Sign(testNetwork, typeGrant, g.Body) }, ErrSignature},
		"signed as receipt": {testNetwork, hubKey, func(g *SignedGrant) { g.Sig = hubKey.Sign(testNetwork, typeReceipt, g.Body) }, ErrSignature},
		"no signature":      {testNetwork, hubKey, func(g *SignedGrant) { g.Sig = nil }, ErrSignature},
		"raised afterwards": {testNetwork, hubKey, func(g *SignedGrant) { g.Limit++ }, ErrBody},
	} {
		g := good
		x.change(&g)
		if err := g.Verify(x.network, x.issuer.ID()); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}
