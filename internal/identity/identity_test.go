package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// testKey is the key whose seed is 32 times b.
func testKey(t testing.TB, b byte) Key {
	t.Helper()
	k, err := NewKeyFrom(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestIDIsTheLibp2pPeerID(t *testing.T) {
	id := testKey(t, 1).ID()
	public, err := crypto.UnmarshalEd25519PublicKey(id[:])
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.IDFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if got := id.String(); got != want.String() {
		t.Errorf("String() = %s, want %s", got, want)
	}
	const golden = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
	if got := id.String(); got != golden {
		t.Errorf("String() = %s, want the golden %s", got, golden)
	}
	if got, want := id.Short(), golden[len(golden)-8:]; got != want {
		t.Errorf("Short() = %s, want %s", got, want)
	}
}

func TestIDTextRoundTrip(t *testing.T) {
	type doc struct{ A, B ID }
	want := doc{A: testKey(t, 1).ID()} // B stays zero: the empty text
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got doc
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("through %s: got %v, want %v", text, got, want)
	}
}

func TestParseIDRefuses(t *testing.T) {
	_, secp, err := crypto.GenerateSecp256k1Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := peer.IDFromPublicKey(secp)
	if err != nil {
		t.Fatal(err)
	}
	good := testKey(t, 1).ID()
	for name, s := range map[string]string{
		"empty":                "",
		"words":                "relay.example",
		"other key type":       other.String(),
		"cut":                  good.String()[:40],
		"spelled as a CID":     peer.ToCid(peer.ID(multihashPrefix + string(good[:]))).String(),
		"all-zero key":         peer.ID(multihashPrefix + strings.Repeat("\x00", 32)).String(),
		"identity element":     peer.ID(multihashPrefix + "\x01" + strings.Repeat("\x00", 31)).String(),
		"not on the curve":     peer.ID(multihashPrefix + "\x02" + strings.Repeat("\x00", 31)).String(),
		"megabytes of letters": strings.Repeat("1", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			id, err := ParseID(s)
			if err == nil {
				t.Fatalf("ParseID gave %v, want an error", id)
			}
			if len(err.Error()) > 500 {
				t.Errorf("error is %d bytes long, want a sentence", len(err.Error()))
			}
		})
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	k := testKey(t, 'k') // the seed is "kkkk…": hex 6b, decimal 107
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "key", k, "holder", struct{ K Key }{k})
	asJSON, err := json.Marshal(struct{ K Key }{k})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		shown += fmt.Sprintf(verb+verb+"\n", k, struct{ K Key }{k})
	}
	for _, secret := range []string{"kkk", "6b6b", "107 107", "0x6b", "a2tr"} {
		if strings.Contains(shown, secret) {
			t.Errorf("the private key shows as %q in:\n%s", secret, shown)
		}
	}
	if !strings.Contains(shown, k.ID().String()) {
		t.Errorf("the public half is missing from:\n%s", shown)
	}
}
