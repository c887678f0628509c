package relay

import (
	"testing"
	"time"

	"sward/accounting"
)

// keeperRelay is a relay with a spool and one edge, whose channel is open and in the spool.
func keeperRelay(t *testing.T) (*Relay, *edge) {
	t.Helper()
	spool, err := accounting.OpenSpool(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spool.Close() })
	relayKey, edgeKey, channelKey := newKey(t), newKey(t), newKey(t)
	c := accounting.Channel{
		Issuer: newKey(t).ID(), Relay: relayKey.ID(), Edge: edgeKey.ID(), RelayKey: channelKey.ID(), EdgeKey: newKey(t).ID(),
		Step: accounting.MinStep, Window: newWindow, Opened: time.Now().UnixMilli(), Expires: time.Now().Add(time.Hour).UnixMilli(),
	}
	signed := accounting.SignedChannel{
		Channel: c, Body: c.Append(nil), EdgeSig: c.Sign("test", edgeKey), RelaySig: c.Sign("test", relayKey),
	}
	if err := spool.PutChannel(signed); err != nil {
		t.Fatal(err)
	}
	meter := accounting.NewMeter(accounting.MeterConfig{
		Side: accounting.RelaySide, Network: "test", Channel: c, Key: channelKey,
	})
	r := &Relay{edges: newTable(), spool: spool, keep: newKeeper(spool)}
	return r, &edge{id: edgeKey.ID(), meter: meter}
}

// receiptOf is a channel's receipt with a serial; whether its counts and signatures hold is not the keeper's to judge.
func receiptOf(id accounting.ChannelID, serial uint64) accounting.SignedReceipt {
	receipt := accounting.Receipt{Channel: id, Serial: serial}
	return accounting.SignedReceipt{
		Receipt: receipt, Body: receipt.Append(nil), EdgeSig: make([]byte, 64), RelaySig: make([]byte, 64),
	}
}

// An edge signs and leaves: the receipt is on its way to the disk when the session ends, and a spool that is tidied after
// the end knows the channel no more. The receipt must be there before.
func TestLastReceiptIsKeptBeforeItsChannelEnds(t *testing.T) {
	r, e := keeperRelay(t)
	r.keep.put(receiptOf(e.meter.ID(), 1))
	r.forget(e)
	pending := r.spool.Pending(1)
	if len(pending) != 1 || pending[0].Receipt.Serial != 1 {
		t.Errorf("in the spool after the session's end: got %d receipts, want its last", len(pending))
	}
}

// The disk's first fault is every later caller's too: no receipt is signed past it.
func TestKeeperStaysFailed(t *testing.T) {
	r, e := keeperRelay(t)
	r.keep.put(receiptOf(accounting.ChannelID{1}, 1)) // of a channel that the spool does not know
	if err := r.keep.flush(); err == nil {
		t.Fatal("flush: got no error for an unknown channel")
	}
	r.keep.put(receiptOf(e.meter.ID(), 1))
	if err := r.keep.run(t.Context()); err == nil {
		t.Error("run: got no error after a failed write")
	}
}
