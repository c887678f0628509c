package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"testing"
	"time"
)

// certificateNaming is a certificate whose extension claims to be signed by a key, which it is not.
func certificateNaming(t *testing.T, public []byte) *x509.Certificate {
	t.Helper()
	value, err := asn1.Marshal(struct{ PubKey, Signature []byte }{public, make([]byte, 64)})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53594, 1, 1}, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// E09: a key whose check alone would cost seconds is refused for what it is, before it is used.
func TestPeerOfRefusesHugeKeys(t *testing.T) {
	for _, bits := range []uint{2048, 16384} {
		n := new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1) // no key, but nobody gets as far as to find out
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
		if err != nil {
			t.Fatal(err)
		}
		public := append(binary.AppendUvarint([]byte{0x08, 0, 0x12}, uint64(len(der))), der...) // libp2p's PublicKey{RSA, der}
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificateNaming(t, public)}}
		began := time.Now()
		id, err := PeerOf(state)
		if err == nil || !id.IsZero() {
			t.Errorf("RSA of %d bits: got %s and %v, want a refusal", bits, id, err)
		}
		t.Logf("RSA of %d bits: %v after %v", bits, err, time.Since(began))
	}
}
