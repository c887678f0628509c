package edge

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"sward/accounting"
	"sward/internal/identity"
)

// ErrNoReceipt says that this edge has no receipt of the channel, or none any more.
var ErrNoReceipt = errors.New("no receipt of this channel is kept here")

// Receipt is the latest receipt of one channel as it can be shown to anybody: what it says, who signed, and the very bytes
// that were signed. Nobody needs to be believed: whoever has the bytes can check the four signatures.
type Receipt struct {
	Network string               `json:"network"`
	Channel accounting.ChannelID `json:"channel"`
	Serial  uint64               `json:"serial"`
	State   string               `json:"state"`         // settled, waiting or refused
	Why     string               `json:"why,omitempty"` // refused: the rule

	Hub     identity.ID `json:"hub"`
	Relay   identity.ID `json:"relay"`
	Edge    identity.ID `json:"edge"`
	Opened  time.Time   `json:"opened"`
	Expires time.Time   `json:"expires"`

	Signed  time.Time `json:"signed"`
	Up      uint64    `json:"up"` // bytes since the channel opened
	Down    uint64    `json:"down"`
	Streams uint64    `json:"streams"`
	Grants  []Granted `json:"grants"`

	Signatures []Signature `json:"signatures"`
	Verified   bool        `json:"verified"` // all of them are good

	// The bytes of PROTOCOL.md §8.2 and §8.3, each followed by the edge's signature and the relay's.
	ChannelBytes []byte `json:"channel_bytes"`
	ReceiptBytes []byte `json:"receipt_bytes"`
}

// Granted is what one grant has used of the channel: a partner's prepaid bytes, under a pseudonym.
type Granted struct {
	Grant   accounting.GrantID `json:"grant"`
	Up      uint64             `json:"up"`
	Down    uint64             `json:"down"`
	Streams uint32             `json:"streams"`
}

// Signature is one that was checked just now.
type Signature struct {
	Of   string      `json:"of"` // what is signed: channel or receipt
	By   string      `json:"by"` // edge, relay, or the key that one of them made for this channel
	Key  identity.ID `json:"key"`
	Good bool        `json:"good"`
}

// Receipt shows the latest receipt of a channel, or ErrNoReceipt. It counts all of the channel since it opened, so an earlier
// one says nothing that it does not.
func (e *Edge) Receipt(id accounting.ChannelID) (Receipt, error) {
	if !e.isOpen() {
		return Receipt{}, errNotRunning
	}
	kept, known := e.proofs.find(id)
	if u, waits := e.spool.Latest(id); waits {
		return receiptOf(e.cfg.Network, u, kept)
	}
	if !known {
		return Receipt{}, ErrNoReceipt
	}
	return kept.show(e.cfg.Network)
}

// ReadReceipt is Receipt for a program beside the edge, which may be running or not.
func ReadReceipt(dir, network string, id accounting.ChannelID) (Receipt, error) {
	pending, err := accounting.ReadSpool(filepath.Join(dir, spoolDir), network)
	if err != nil {
		return Receipt{}, err
	}
	kept, known := openProofs(dir, network).find(id)
	for _, u := range pending {
		if u.Receipt.Channel == id {
			return receiptOf(network, u, kept)
		}
	}
	if !known {
		return Receipt{}, ErrNoReceipt
	}
	return kept.show(network)
}

// show reads a proof and checks it.
func (p proof) show(network string) (Receipt, error) {
	c, err := accounting.ParseSignedChannel(p.Channel)
	if err != nil {
		return Receipt{}, fmt.Errorf("the kept receipt is damaged: %w", err)
	}
	r, err := accounting.ParseSignedReceipt(p.Receipt)
	if err != nil {
		return Receipt{}, fmt.Errorf("the kept receipt is damaged: %w", err)
	}
	return receiptOf(network, accounting.Unsettled{Channel: c, Receipt: r}, p)
}

// receiptOf describes a receipt. kept is what the hub has answered for of the same channel, or nothing.
func receiptOf(network string, u accounting.Unsettled, kept proof) (Receipt, error) {
	c, r := u.Channel, u.Receipt
	if r.Channel != c.ID(network) {
		return Receipt{}, fmt.Errorf("the kept receipt is damaged: %w", accounting.ErrChannel)
	}
	shown := Receipt{
		Network: network, Channel: r.Channel, Serial: r.Serial, State: EarnedWaiting,
		Hub: c.Issuer, Relay: c.Relay, Edge: c.Edge,
		Opened: time.UnixMilli(c.Opened).UTC(), Expires: time.UnixMilli(c.Expires).UTC(), Signed: time.UnixMilli(r.Time).UTC(),
		Up: r.Up, Down: r.Down, Streams: r.Streams, Grants: []Granted{}, Verified: true,
		ChannelBytes: c.Bytes(), ReceiptBytes: r.Bytes(),
	}
	if string(kept.Receipt) == string(shown.ReceiptBytes) {
		shown.State, shown.Why = EarnedSettled, string(kept.Refused)
		if kept.Refused != "" {
			shown.State = EarnedRefused
		}
	}
	for _, t := range r.Tallies {
		shown.Grants = append(shown.Grants, Granted(t))
	}
	pair := r.Signatures(c.Channel)
	for _, s := range []struct {
		of, by string
		signed identity.Signed
	}{
		{"channel", "edge", identity.Signed{ID: c.Edge, Type: "channel", Body: c.Body, Sig: c.EdgeSig}},
		{"channel", "relay", identity.Signed{ID: c.Relay, Type: "channel", Body: c.Body, Sig: c.RelaySig}},
		{"receipt", "edge's channel key", pair[0]},
		{"receipt", "relay's channel key", pair[1]},
	} {
		good := s.signed.ID.Verify(network, s.signed.Type, s.signed.Body, s.signed.Sig)
		shown.Verified = shown.Verified && good
		shown.Signatures = append(shown.Signatures, Signature{s.of, s.by, s.signed.ID, good})
	}
	return shown, nil
}
