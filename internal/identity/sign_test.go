package identity

import (
	stded25519 "crypto/ed25519"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSignatureGolden(t *testing.T) {
	k := testKey(t, 1)
	body := []byte("hello")
	const input = "73776172642f76312f746573742f7265636569707400" + "00000005" + "68656c6c6f" // sward/v1/test/receipt NUL, 5, hello
	const sig = "99337a0dd169affcf43dad97f37cde8cb0b8334921e48360a89e38ab734d03ea" +
		"4543b6cc90e27fc2f8da7d76d72b36ba5e3fd6d537820270dd55bf6c5fe1d50d"
	if got := hex.EncodeToString(message("test", "receipt", body)); got != input {
		t.Errorf("signed bytes are %s, want %s", got, input)
	}
	got := k.Sign("test", "receipt", body)
	if hex.EncodeToString(got) != sig {
		t.Errorf("signature is %x, want %s", got, sig)
	}
	if !k.ID().Verify("test", "receipt", body, got) {
		t.Error("the signature does not verify")
	}
}

// forgeries is every signature that must not count, F13 and F14 of the attack
// list among them. The single and the batch rule are both run over it.
func forgeries(t *testing.T) map[string]struct {
	network string
	Signed
} {
	k, other := testKey(t, 1), testKey(t, 2)
	body := []byte("hello")
	good := Signed{ID: k.ID(), Type: "receipt", Body: body, Sig: k.Sign("test", "receipt", body)}
	with := func(f func(*Signed)) Signed {
		s := good
		s.Sig, s.Body = slices.Clone(s.Sig), slices.Clone(s.Body)
		f(&s)
		return s
	}
	type forgery = struct {
		network string
		Signed
	}
	return map[string]forgery{
		"test network's receipt on main": {"main", good},
		"as another type":                {"test", with(func(s *Signed) { s.Type = "grant" })},
		"by another key":                 {"test", with(func(s *Signed) { s.ID = other.ID() })},
		"body changed":                   {"test", with(func(s *Signed) { s.Body[0]++ })},
		"body cut":                       {"test", with(func(s *Signed) { s.Body = s.Body[:4] })},
		"signature changed":              {"test", with(func(s *Signed) { s.Sig[3] ^= 1 })},
		"signature cut":                  {"test", with(func(s *Signed) { s.Sig = s.Sig[:63] })},
		"no signature":                   {"test", with(func(s *Signed) { s.Sig = nil })},
		"malleable, S plus L":            {"test", with(func(s *Signed) { addOrder(s.Sig[32:]) })},
		"zero key, zero signature":       {"test", Signed{Type: "receipt", Body: body, Sig: make([]byte, 64)}},
		"small-order key":                {"test", Signed{ID: ID{1}, Type: "receipt", Body: body, Sig: smallOrderSignature()}},
		"key off the curve":              {"test", Signed{ID: ID{2}, Type: "receipt", Body: body, Sig: good.Sig}},
		"slash moved out of the network": {"a/b", with(func(s *Signed) { s.Type = "c"; s.Sig = k.Sign("a/b", "c", body) })},
		"zero byte in the type":          {"test", with(func(s *Signed) { s.Type = "c\x00"; s.Sig = k.Sign("test", "c\x00", body) })},
		"no network":                     {"", with(func(s *Signed) { s.Sig = k.Sign("", "receipt", body) })},
		"no type":                        {"test", with(func(s *Signed) { s.Type = ""; s.Sig = k.Sign("test", "", body) })},
	}
}

func TestVerifyRefusesForgeries(t *testing.T) {
	for name, f := range forgeries(t) {
		if f.ID.Verify(f.network, f.Type, f.Body, f.Sig) {
			t.Errorf("%s: verified", name)
		}
	}
}

func TestBatchAgreesWithSingle(t *testing.T) {
	k := testKey(t, 1)
	for name, f := range forgeries(t) {
		batch := []Signed{
			{ID: k.ID(), Type: "a", Body: []byte("first"), Sig: k.Sign(f.network, "a", []byte("first"))},
			f.Signed,
			{ID: k.ID(), Type: "b", Body: nil, Sig: k.Sign(f.network, "b", nil)},
		}
		want := make([]bool, len(batch))
		for i, s := range batch {
			want[i] = s.ID.Verify(f.network, s.Type, s.Body, s.Sig)
		}
		if diff := cmp.Diff(want, VerifyBatch(f.network, batch)); diff != "" {
			t.Errorf("%s: single (-) and batch (+) differ:\n%s", name, diff)
		}
		if want[1] {
			t.Errorf("%s: verified", name)
		}
	}
}

func TestBatchOfGoodSignatures(t *testing.T) {
	var batch []Signed
	for i := range 70 {
		k := testKey(t, byte(i%7+1))
		body := []byte{byte(i)}
		batch = append(batch, Signed{ID: k.ID(), Type: "receipt", Body: body, Sig: k.Sign("test", "receipt", body)})
	}
	got := VerifyBatch("test", batch)
	if len(got) != len(batch) || slices.Contains(got, false) {
		t.Errorf("got %v, want %d times true", got, len(batch))
	}
	if got := VerifyBatch("test", nil); len(got) != 0 {
		t.Errorf("an empty batch gave %v", got)
	}
}

// The plain equation is fooled by small-order keys, which is why they are
// refused by name.
func TestSmallOrderForgeryFoolsThePlainRule(t *testing.T) {
	weak := ID{1}
	if !stded25519.Verify(weak[:], []byte("anything"), smallOrderSignature()) {
		t.Error("the forgery no longer passes crypto/ed25519: the tests that use it prove nothing")
	}
}

func TestCheckNetwork(t *testing.T) {
	for name, ok := range map[string]bool{
		"main": true, "sandbox": true, "test-2.eu": true,
		"": false, "a/b": false, "Main": false, "a b": false, "abcdefghijklmnopqrstuvwxyz0123456": false, "a\x00": false,
	} {
		if err := CheckNetwork(name); (err == nil) != ok {
			t.Errorf("CheckNetwork(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

// smallOrderSignature needs no private key: with the identity element as public
// key, R = identity and S = 0 satisfy S·B = R + h·A for every message.
func smallOrderSignature() []byte {
	sig := make([]byte, 64)
	sig[0] = 1
	return sig
}

// addOrder adds the group order L to the little-endian scalar s, which leaves
// the verification equation true.
func addOrder(s []byte) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	slices.Reverse(s)
	new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(s)
	slices.Reverse(s)
}

func BenchmarkVerify(b *testing.B) {
	k := testKey(b, 1)
	body := make([]byte, 200) // a receipt with two tallies
	sig := k.Sign("test", "receipt", body)
	id := k.ID()
	b.ReportAllocs()
	for b.Loop() {
		if !id.Verify("test", "receipt", body, sig) {
			b.Fatal("does not verify")
		}
	}
}

func BenchmarkVerifyBatch64(b *testing.B) {
	k := testKey(b, 1)
	body := make([]byte, 200)
	batch := slices.Repeat([]Signed{{ID: k.ID(), Type: "receipt", Body: body, Sig: k.Sign("test", "receipt", body)}}, 64)
	b.ReportAllocs()
	for b.Loop() {
		if slices.Contains(VerifyBatch("test", batch), false) {
			b.Fatal("does not verify")
		}
	}
}
