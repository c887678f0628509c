package edge

import (
	"context"
	"crypto/rand"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

// channelWait is how long a relay may take to offer a channel.
const channelWait = 15 * time.Second

// openChannel asks for a channel of account and signs the one that the relay offers, if it is the one asked for.
func (s *session) openChannel(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, channelWait)
	defer cancel()
	key, err := identity.NewKey() // never stored: nobody can sign on this channel after a restart
	if err != nil {
		return err
	}
	want := accounting.Channel{
		Issuer: s.edge.cfg.HubID, Relay: s.relay, Edge: s.edge.ID(), EdgeKey: key.ID(),
		Policy: s.edge.terms().policy.Digest(), Consent: ConsentHash(),
	}
	rand.Read(want.EdgeNonce[:]) //nolint:errcheck // never fails (crypto/rand)
	if want.Exporter, err = s.tunnel.Exporter(accounting.ExporterLabel, want.EdgeNonce[:]); err != nil {
		return err
	}
	err = s.tunnel.Send(wire.ChannelAsk{
		ChannelKey: want.EdgeKey, Nonce: want.EdgeNonce, Policy: want.Policy, Consent: want.Consent, Class: want.Class,
	})
	if err != nil {
		return err
	}
	offer, err := s.awaitOffer(ctx)
	if err != nil {
		return err
	}
	signed, err := s.acceptOffer(offer, want)
	if wire.CodeOf(err) == wire.ClockSkew {
		return err
	}
	if err != nil {
		return wire.Errorf(wire.Binding, "%v", err)
	}
	// On disk before the relay can use it: whatever is signed on this channel can be submitted after a crash.
	if err := s.edge.spool.PutChannel(signed); err != nil {
		return err
	}
	s.channel, s.window = signed.ID(s.edge.cfg.Network), signed.Window
	s.meter = accounting.NewMeter(accounting.MeterConfig{
		Side: accounting.EdgeSide, Network: s.edge.cfg.Network, Channel: signed.Channel, Key: key, Now: s.edge.cfg.Clock,
	})
	return s.tunnel.Send(wire.ChannelAccept{Channel: s.channel, Sig: [64]byte(signed.EdgeSig)})
}

func (s *session) awaitOffer(ctx context.Context) (wire.ChannelOffer, error) {
	for {
		t, body, err := s.tunnel.Control(ctx)
		if err != nil {
			return wire.ChannelOffer{}, err
		}
		switch t {
		case wire.TypeChannelOffer:
			return wire.ParseChannelOffer(body)
		case wire.TypeObserved: // a relay says it first of all
			if err := s.observed(body); err != nil {
				return wire.ChannelOffer{}, err
			}
		case wire.TypeBye:
			return wire.ChannelOffer{}, byeError(body)
		}
	}
}

func (s *session) acceptOffer(offer wire.ChannelOffer, want accounting.Channel) (accounting.SignedChannel, error) {
	c, err := accounting.ParseChannel(offer.Body)
	if err != nil {
		return accounting.SignedChannel{}, err
	}
	if err := c.Binds(want); err != nil {
		return accounting.SignedChannel{}, err
	}
	if err := c.CheckTime(s.edge.cfg.Clock()); err != nil {
		return accounting.SignedChannel{}, wire.Errorf(wire.ClockSkew, "%v", err)
	}
	network := s.edge.cfg.Network
	signed := accounting.SignedChannel{
		Channel: c, Body: offer.Body, EdgeSig: c.Sign(network, s.edge.cfg.Key), RelaySig: offer.Sig[:],
	}
	return signed, signed.Verify(network)
}

// byeError is the reason in a relay's Bye.
func byeError(body []byte) error {
	bye, err := wire.ParseBye(body)
	if err != nil {
		return err
	}
	return &wire.Error{Code: bye.Code, Detail: bye.Detail}
}
