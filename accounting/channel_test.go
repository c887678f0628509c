package accounting

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"sward/internal/identity"
)

func TestChannelRefusesBadValues(t *testing.T) {
	for name, change := range map[string]func(*Channel){
		"no issuer":         func(c *Channel) { c.Issuer = identity.ID{} },
		"relay is edge":     func(c *Channel) { c.Relay = c.Edge },
		"no relay key":      func(c *Channel) { c.RelayKey = [32]byte{} },
		"one channel key":   func(c *Channel) { c.RelayKey = c.EdgeKey },
		"tiny step":         func(c *Channel) { c.Step = MinStep - 1 },
		"huge step":         func(c *Channel) { c.Step, c.Window = MaxStep+1, MaxWindow },
		"window below step": func(c *Channel) { c.Window = c.Step - 1 },
		"huge window":       func(c *Channel) { c.Window = MaxWindow + 1 },
		"negative time":     func(c *Channel) { c.Opened = -1 },
		"ends at its start": func(c *Channel) { c.Expires = c.Opened },
		"too long":          func(c *Channel) { c.Expires = c.Opened + MaxChannelLife.Milliseconds() + 1 },
	} {
		c := testChannel()
		change(&c)
		if _, err := ParseChannel(c.Append(nil)); !errors.Is(err, ErrField) {
			t.Errorf("%s: got %v, want %v", name, err, ErrField)
		}
	}
}

func TestEdgeRefusesAChannelItDidNotAskFor(t *testing.T) {
	want := testChannel()
	want.RelayKey, want.RelayNonce, want.Step, want.Window, want.Opened, want.Expires = [32]byte{}, [16]byte{}, 0, 0, 0, 0
	if err := testChannel().Binds(want); err != nil {
		t.Errorf("what the relay decides: got %v, want it accepted", err)
	}
	for name, x := range map[string]struct {
		change func(*Channel)
		want   error
	}{
		"another hub":      {func(c *Channel) { c.Issuer = otherKey.ID() }, ErrIssuer},
		"another relay":    {func(c *Channel) { c.Relay = otherKey.ID() }, ErrParty},
		"another edge":     {func(c *Channel) { c.Edge = otherKey.ID() }, ErrParty},
		"another edge key": {func(c *Channel) { c.EdgeKey = otherKey.ID() }, ErrParty},
		"old nonce":        {func(c *Channel) { c.EdgeNonce[0]++ }, ErrBinding},
		"another session":  {func(c *Channel) { c.Exporter[0]++ }, ErrBinding},
		"other policy":     {func(c *Channel) { c.Policy[0]++ }, ErrBinding},
		"other consent":    {func(c *Channel) { c.Consent[0]++ }, ErrBinding},
		"other class":      {func(c *Channel) { c.Class++ }, ErrBinding},
	} {
		c := testChannel()
		x.change(&c)
		if err := c.Binds(want); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestChannelTakesStreamsOnlyInItsTime(t *testing.T) {
	c := testChannel()
	end := time.UnixMilli(c.Expires)
	for name, x := range map[string]struct {
		now  time.Time
		want error
	}{
		"now":         {testStart, nil},
		"too early":   {testStart.Add(-time.Hour), ErrEarly},
		"last moment": {end.Add(-time.Millisecond), nil},
		"after":       {end, ErrExpired},
	} {
		if err := c.CheckTime(x.now); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestChannelNeedsBothSignatures(t *testing.T) {
	if err := signedChannel(testChannel()).Verify(testNetwork); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		network string
		change  func(*SignedChannel)
		want    error
	}{
		"another network":    {"main", func(*SignedChannel) {}, ErrSignature},
		"edge alone":         {testNetwork, func(c *SignedChannel) { c.RelaySig = make([]byte, 64) }, ErrHalfSigned},
		"relay alone":        {testNetwork, func(c *SignedChannel) { c.EdgeSig = nil }, ErrHalfSigned},
		"swapped":            {testNetwork, func(c *SignedChannel) { c.EdgeSig, c.RelaySig = c.RelaySig, c.EdgeSig }, ErrSignature},
		"another edge":       {testNetwork, func(c *SignedChannel) { c.EdgeSig = c.Sign(testNetwork, otherKey) }, ErrSignature},
		"another relay":      {testNetwork, func(c *SignedChannel) { c.RelaySig = c.Sign(testNetwork, otherKey) }, ErrSignature},
		"raised afterwards":  {testNetwork, func(c *SignedChannel) { c.Window++ }, ErrBody},
		"scalar plus order":  {testNetwork, func(c *SignedChannel) { c.EdgeSig = malleate(c.EdgeSig) }, ErrSignature},
		"key of small order": {testNetwork, func(c *SignedChannel) { *c = smallOrder(*c) }, ErrSignature},
	} {
		c := signedChannel(testChannel())
		x.change(&c)
		if err := c.Verify(x.network); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

// malleate adds the group order to the signature's scalar: the same equation holds, the bytes differ.
func malleate(sig []byte) []byte {
	order := []byte{ // L of RFC 8032, little-endian
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	}
	out, carry := bytes.Clone(sig), 0
	for i, b := range order {
		sum := int(out[32+i]) + int(b) + carry
		out[32+i], carry = byte(sum), sum>>8
	}
	return out
}

// smallOrder names an edge that nobody is: for the identity point, R = the identity point and S = 0 satisfy the plain
// equation over any message.
func smallOrder(c SignedChannel) SignedChannel {
	c.Edge = identity.ID{0: 1}
	c.Body = c.Append(nil)
	c.EdgeSig = append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...)
	c.RelaySig = c.Sign(testNetwork, relayKey)
	return c
}
