package accounting

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const testNetwork = "test"

var (
	hubKey, otherKey          = testKey(1), testKey(2)
	relayKey, edgeKey         = testKey(3), testKey(4)
	relayChanKey, edgeChanKey = testKey(5), testKey(6)
	testStart                 = time.UnixMilli(1_800_000_000_000)
)

// testKey is the key whose seed is 32 times b.
func testKey(b byte) identity.Key {
	k, err := identity.NewKeyFrom(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		panic(err)
	}
	return k
}

func fill16(b byte) (a [16]byte) { copy(a[:], bytes.Repeat([]byte{b}, 16)); return a }
func fill32(b byte) (a [32]byte) { copy(a[:], bytes.Repeat([]byte{b}, 32)); return a }

func testGrant() Grant {
	return Grant{
		ID: fill16(0xa1), Issuer: hubKey.ID(), Account: fill16(0xa2), Relay: relayKey.ID(), Purpose: 3, Price: 7,
		Limit: 10 << 30, Issued: testStart.UnixMilli(), NotAfter: testStart.Add(6 * time.Hour).UnixMilli(),
		MaxChannels: 8, Policy: fill32(0xa3),
	}
}

func testChannel() Channel {
	return Channel{
		Issuer: hubKey.ID(), Relay: relayKey.ID(), Edge: edgeKey.ID(),
		RelayKey: relayChanKey.ID(), EdgeKey: edgeChanKey.ID(), Exporter: fill32(0xb1),
		EdgeNonce: fill16(0xb2), RelayNonce: fill16(0xb3), Policy: fill32(0xb4), Consent: fill32(0xb5), Class: 2,
		Step: MinStep, Window: 512 << 10, Opened: testStart.UnixMilli(), Expires: testStart.Add(time.Hour).UnixMilli(),
	}
}

func testReceipt() Receipt {
	r := Receipt{
		Channel: testChannel().ID(testNetwork), Serial: 2, Time: testStart.UnixMilli() + 2000, Flags: FlagFinal,
		Prev: fill32(0xc1),
		Tallies: []Tally{
			{Grant: fill16(0x01), Up: 1000, Down: 70_000, Streams: 3},
			{Grant: fill16(0x02), Up: 24, Down: 536, Streams: 1},
		},
	}
	r.Sum()
	return r
}

// The golden vectors: what version 1 looks like for ever. A change that moves one of them is another version.
const (
	goldenHub   = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
	goldenRelay = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1"
	goldenEdge  = "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c"

	goldenRelayKey = "6e7a1cdd29b0b78fd13af4c5598feff4ef2a97166e3ca6f2e4fbfccd80505bf1"
	goldenEdgeKey  = "8a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f17"
	goldenChannel  = "434cd937d00e337fefdb22ca8af2f3781e2014cc146bc609d0d9de2b8d816b3b"
)

// codec is one kind of body in the tests that all kinds must pass.
type codec struct {
	name   string
	body   []byte
	golden string // spaces are for the reader
	parse  func([]byte) (again []byte, err error)
}

func codecs() []codec {
	n := strings.Repeat
	return []codec{{
		name: "grant", body: testGrant().Append(nil),
		golden: "0001 0001" + n("a1", 16) + goldenHub + n("a2", 16) + goldenRelay + n("00", 32) +
			"0003 00000007 0000000280000000 000001a3185c5000 000001a319a5e700 00000008" + n("a3", 32),
		parse: func(b []byte) ([]byte, error) { g, err := ParseGrant(b); return g.Append(nil), err },
	}, {
		name: "channel", body: testChannel().Append(nil),
		golden: "0001 0002" + goldenHub + goldenRelay + goldenEdge + goldenRelayKey + goldenEdgeKey +
			n("b1", 32) + n("b2", 16) + n("b3", 16) + n("b4", 32) + n("b5", 32) +
			"0002 00010000 00080000 000001a3185c5000 000001a318933e80",
		parse: func(b []byte) ([]byte, error) { c, err := ParseChannel(b); return c.Append(nil), err },
	}, {
		name: "receipt", body: testReceipt().Append(nil),
		golden: "0001 0003" + goldenChannel + "0000000000000002 0000000000000400 0000000000011388 0000000000000004" +
			"000001a3185c57d0 00000001" + n("c1", 32) + "0002" +
			n("01", 16) + "00000000000003e8 0000000000011170 00000003" +
			n("02", 16) + "0000000000000018 0000000000000218 00000001",
		parse: func(b []byte) ([]byte, error) { r, err := ParseReceipt(b); return r.Append(nil), err },
	}, {
		name: "signed grant", body: SignGrant(testNetwork, hubKey, testGrant()).Bytes(),
		parse: func(b []byte) ([]byte, error) { g, err := ParseSignedGrant(b); return g.Bytes(), err },
	}, {
		name: "signed channel", body: signedChannel(testChannel()).Bytes(),
		parse: func(b []byte) ([]byte, error) { c, err := ParseSignedChannel(b); return c.Bytes(), err },
	}, {
		name: "signed receipt", body: signedReceipt(testReceipt()).Bytes(),
		parse: func(b []byte) ([]byte, error) { r, err := ParseSignedReceipt(b); return r.Bytes(), err },
	}}
}

func signedChannel(c Channel) SignedChannel {
	return SignedChannel{
		Channel: c, Body: c.Append(nil),
		EdgeSig: c.Sign(testNetwork, edgeKey), RelaySig: c.Sign(testNetwork, relayKey),
	}
}

func signedReceipt(r Receipt) SignedReceipt {
	return SignedReceipt{
		Receipt: r, Body: r.Append(nil),
		EdgeSig: r.Sign(testNetwork, edgeChanKey), RelaySig: r.Sign(testNetwork, relayChanKey),
	}
}

func TestBodiesMatchTheirGoldenVectors(t *testing.T) {
	for _, c := range codecs() {
		if want := strings.ReplaceAll(c.golden, " ", ""); want != "" && hex.EncodeToString(c.body) != want {
			t.Errorf("%s:\n got %x\nwant %s", c.name, c.body, want)
		}
		if again, err := c.parse(c.body); err != nil || !bytes.Equal(again, c.body) {
			t.Errorf("%s: parsed and written again: %v\n got %x\nwant %x", c.name, err, again, c.body)
		}
	}
}

func TestBodiesRefuseAnyOtherLength(t *testing.T) {
	for _, c := range codecs() {
		for n := range len(c.body) {
			if _, err := c.parse(c.body[:n]); !errors.Is(err, ErrLength) {
				t.Errorf("%s cut to %d of %d bytes: got %v, want %v", c.name, n, len(c.body), err, ErrLength)
			}
		}
		if _, err := c.parse(append(bytes.Clone(c.body), 0)); !errors.Is(err, ErrLength) {
			t.Errorf("%s with a trailing byte: got %v, want %v", c.name, err, ErrLength)
		}
	}
}

func TestBodiesRefuseOtherVersionsAndKinds(t *testing.T) {
	for _, c := range codecs() {
		for _, x := range []struct {
			at   int
			want error
		}{{0, ErrVersion}, {1, ErrVersion}, {2, ErrType}, {3, ErrType}} {
			b := bytes.Clone(c.body)
			b[x.at] ^= 0x04
			if _, err := c.parse(b); !errors.Is(err, x.want) {
				t.Errorf("%s with byte %d changed: got %v, want %v", c.name, x.at, err, x.want)
			}
		}
	}
}

func TestRefusalsCarryACodeForTheWire(t *testing.T) {
	for refusal, want := range map[Refusal]wire.Code{
		ErrUnsigned: wire.WindowClosed, ErrBinding: wire.Binding, ErrEarly: wire.ClockSkew, ErrFork: wire.ProtocolError,
	} {
		if got := wire.CodeOf(fmt.Errorf("receipt 3: %w", refusal)); got != want {
			t.Errorf("%s: got code %s, want %s", refusal, got.Name(), want.Name())
		}
	}
}

func TestMessageIDIsTheHashOfWhatIsSigned(t *testing.T) {
	if got := testChannel().ID(testNetwork).String(); got != goldenChannel {
		t.Errorf("channel id: got %s, want %s", got, goldenChannel)
	}
	if testChannel().ID("main") == testChannel().ID(testNetwork) {
		t.Error("one id in two networks")
	}
}

// fuzzBody holds the promise of every codec: bytes from a stranger never panic, and what parses is written again to the
// same bytes, so that no second encoding of a body exists.
func fuzzBody(f *testing.F, name string) {
	for _, c := range codecs() {
		if c.name != name {
			continue
		}
		f.Add(c.body)
		f.Fuzz(func(t *testing.T, b []byte) {
			if again, err := c.parse(b); err == nil && !bytes.Equal(again, b) {
				t.Errorf("got %x\nwant %x", again, b)
			}
		})
	}
}

func FuzzGrant(f *testing.F)         { fuzzBody(f, "grant") }
func FuzzChannel(f *testing.F)       { fuzzBody(f, "channel") }
func FuzzReceipt(f *testing.F)       { fuzzBody(f, "receipt") }
func FuzzSignedGrant(f *testing.F)   { fuzzBody(f, "signed grant") }
func FuzzSignedChannel(f *testing.F) { fuzzBody(f, "signed channel") }
func FuzzSignedReceipt(f *testing.F) { fuzzBody(f, "signed receipt") }
