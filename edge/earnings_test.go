package edge

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sward/accounting"
)

// What a stream has earned is shown from the first signature on, and stays so in the hub's words: with the receipt itself,
// which anybody can check, after the edge has come back without its spool's memory of it.
func TestEarningsRestOnReceiptsThatCanBeShown(t *testing.T) {
	relay, site := newTestRelay(t), echo(t)
	dir := t.TempDir()
	e, stop := testEdge(t, relay, site, func(c *Config) { c.Dir = dir })
	s := relay.next()
	st, err := s.open(t.Context(), relay.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100 << 10
	if got, err := st.exchange(t.Context(), n); err != nil || got != n {
		t.Fatalf("exchange = %d, %v", got, err)
	}
	st.end()
	relay.hub.setAway(true)
	eventually(t, "both directions signed for", func() bool { return e.Earnings(t.Context()).Waiting.Bytes == 2*n })
	waiting := e.Earnings(t.Context())
	if len(waiting.Days) != 1 || len(waiting.Days[0].Receipts) != 1 || waiting.Problem == "" {
		t.Fatalf("with the hub away: %+v, want one day, one receipt, and a problem", waiting)
	}
	line := waiting.Days[0].Receipts[0]
	if line.State != EarnedWaiting || line.Up != n || line.Down != n || !line.Here {
		t.Errorf("with the hub away: %+v, want %d bytes each way that wait", line, n)
	}
	shown, err := e.Receipt(line.Channel)
	if err != nil || !shown.Verified || shown.State != EarnedWaiting || len(shown.Signatures) != 4 {
		t.Errorf("the receipt that waits: %+v, %v", shown, err)
	}

	if beside, err := ReadReceipt(dir, testNetwork, line.Channel); err != nil || beside.State != EarnedWaiting || beside.Serial != shown.Serial {
		t.Errorf("a program beside the edge reads the receipt that waits as %+v, %v", beside, err)
	}
	relay.hub.setAway(false)
	e.settleOnce(t.Context())
	e.stated.asked = time.Time{} // the owner looks again later
	got := e.Earnings(t.Context())
	if got.Waiting.Receipts != 0 || got.Problem != "" || len(got.Days) != 1 || len(got.Days[0].Receipts) != 1 {
		t.Fatalf("settled: %+v", got)
	}
	line = got.Days[0].Receipts[0]
	if line.State != EarnedSettled || line.Up+line.Down != 2*n || line.Points != 133 || line.PerGiB != 700_000 || !line.Here {
		t.Errorf("settled: %+v, want %d bytes for 133 micro-points", line, 2*n)
	}
	beside, err := ReadEarnings(t.Context(), relay.hub, dir, testNetwork, e.ID())
	if err != nil || len(beside.Days) != 1 || beside.Days[0].Points != 133 || beside.Waiting.Receipts != 0 {
		t.Errorf("a program beside the edge reads %+v, %v", beside, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if shown, err := ReadReceipt(dir, testNetwork, line.Channel); err != nil || !shown.Verified || shown.State != EarnedSettled {
		t.Errorf("a program beside the edge reads the receipt %+v, %v", shown, err)
	}

	again, _ := testEdge(t, relay, site, func(c *Config) { c.Dir = dir })
	relay.next()
	shown, err = again.Receipt(line.Channel)
	if err != nil || !shown.Verified || shown.State != EarnedSettled || shown.Serial != line.Serial || shown.Up+shown.Down != 2*n {
		t.Fatalf("after a restart the receipt is %+v, %v", shown, err)
	}
	if _, err := again.Receipt(accounting.ChannelID{1}); err == nil {
		t.Error("a receipt of a channel that never was")
	}
}

// A receipt that was changed on disk says so.
func TestChangedReceiptDoesNotVerify(t *testing.T) {
	p, u := keptProof(t)
	if err := p.keep(u, ""); err != nil {
		t.Fatal(err)
	}
	good, known := p.find(u.Receipt.Channel)
	if shown, err := good.show(testNetwork); !known || err != nil || !shown.Verified {
		t.Fatalf("the receipt as it was kept: %+v, %v", shown, err)
	}
	for _, c := range []struct {
		name string
		at   int // from the end
		sigs [4]bool
	}{
		{"the relay's signature", 1, [4]bool{true, true, true, false}},
		{"the edge's signature", 65, [4]bool{true, true, false, true}},
	} {
		bad := proof{Channel: good.Channel, Receipt: bytes.Clone(good.Receipt)}
		bad.Receipt[len(bad.Receipt)-c.at] ^= 1
		shown, err := bad.show(testNetwork)
		if err != nil || shown.Verified {
			t.Errorf("%s changed: verified %v, %v", c.name, shown.Verified, err)
		}
		for i, s := range shown.Signatures {
			if s.Good != c.sigs[i] {
				t.Errorf("%s changed: signature of %s by %s good %v, want %v", c.name, s.Of, s.By, s.Good, c.sigs[i])
			}
		}
	}
	bad := proof{Channel: bytes.Clone(good.Channel), Receipt: good.Receipt}
	bad.Channel[40] ^= 1 // another channel than the receipt's
	if _, err := bad.show(testNetwork); err == nil {
		t.Error("a receipt of another channel is shown")
	}
}

func TestReceiptsAreForgottenAfterTheirDays(t *testing.T) {
	p, u := keptProof(t)
	if err := p.keep(u, accounting.ErrExpired); err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(u.Channel.Opened)
	if err := p.save(now); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.dir, now.UTC().Format(time.DateOnly)+".json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the day's file: %v, %v", info, err)
	}
	later := &proofs{dir: p.dir, network: testNetwork, days: map[string]*proofDay{}}
	if one, known := later.find(u.Receipt.Channel); !known || one.Refused != accounting.ErrExpired {
		t.Errorf("read again: %v, %v", one.Refused, known)
	}
	if err := later.save(now.AddDate(0, 0, proofDays)); err != nil {
		t.Fatal(err)
	}
	if _, known := later.find(u.Receipt.Channel); !known {
		t.Errorf("forgotten within %d days", proofDays)
	}
	if err := later.save(now.AddDate(0, 0, proofDays+1)); err != nil {
		t.Fatal(err)
	}
	if _, known := later.find(u.Receipt.Channel); known {
		t.Errorf("still there after %d days", proofDays+1)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := &proofs{dir: p.dir, network: testNetwork, days: map[string]*proofDay{}}
	if err := damaged.keep(u, ""); err != nil || damaged.save(now) != nil {
		t.Errorf("a damaged file is not written anew: %v", err)
	}
}

// keptProof is an archive, and a receipt with its channel for it.
func keptProof(t *testing.T) (*proofs, accounting.Unsettled) {
	t.Helper()
	edge, relay, edgeKey, relayKey := mustKey(t), mustKey(t), mustKey(t), mustKey(t)
	c := accounting.Channel{
		Issuer: mustKey(t).ID(), Relay: relay.ID(), Edge: edge.ID(), RelayKey: relayKey.ID(), EdgeKey: edgeKey.ID(),
		Step: accounting.MinStep, Window: accounting.MinStep, Opened: 1_760_000_000_000, Expires: 1_760_000_000_000 + 3_600_000,
	}
	r := accounting.Receipt{Channel: c.ID(testNetwork), Serial: 1, Time: c.Opened, Tallies: []accounting.Tally{{Grant: accounting.GrantID{7}, Up: 1, Down: 2, Streams: 1}}}
	if !r.Sum() {
		t.Fatal("the counts do not fit")
	}
	return openProofs(t.TempDir(), testNetwork), accounting.Unsettled{
		Channel: accounting.SignedChannel{Channel: c, Body: c.Append(nil), EdgeSig: c.Sign(testNetwork, edge), RelaySig: c.Sign(testNetwork, relay)},
		Receipt: accounting.SignedReceipt{Receipt: r, Body: r.Append(nil), EdgeSig: r.Sign(testNetwork, edgeKey), RelaySig: r.Sign(testNetwork, relayKey)},
	}
}
