package identity

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

func TestHandshakeNamesBothPeers(t *testing.T) {
	edge, relay := testKey(t, 1), testKey(t, 2)
	ec, rc := edge.TLSConfig(Only(relay.ID())), relay.TLSConfig(nil)
	for range 2 { // a config serves any number of connections
		atEdge, atRelay := handshake(t, ec, rc)
		if atEdge.err != nil || atRelay.err != nil {
			t.Fatalf("handshake: edge %v, relay %v", atEdge.err, atRelay.err)
		}
		for name, c := range map[string]struct {
			cs   tls.ConnectionState
			want ID
		}{
			"edge sees relay": {atEdge.cs, relay.ID()},
			"relay sees edge": {atRelay.cs, edge.ID()},
		} {
			if got, err := PeerOf(c.cs); err != nil || got != c.want {
				t.Errorf("%s: got %s, %v, want %s", name, got, err, c.want)
			}
			if c.cs.Version != tls.VersionTLS13 || c.cs.DidResume {
				t.Errorf("%s: version %x, resumed %v, want TLS 1.3 from scratch", name, c.cs.Version, c.cs.DidResume)
			}
		}
	}
}

// E17 of the attack list: a relay that is not the pinned one, an edge that is
// not the invited one.
func TestHandshakeRefusesWrongPeer(t *testing.T) {
	edge, relay, stranger := testKey(t, 1), testKey(t, 2), testKey(t, 3)

	atEdge, _ := handshake(t, edge.TLSConfig(Only(relay.ID())), stranger.TLSConfig(nil))
	if !errors.Is(atEdge.err, ErrWrongPeer) {
		t.Errorf("edge met an unpinned relay: got %v, want ErrWrongPeer", atEdge.err)
	}
	_, atRelay := handshake(t, stranger.TLSConfig(nil), relay.TLSConfig(Only(edge.ID())))
	if !errors.Is(atRelay.err, ErrWrongPeer) {
		t.Errorf("relay met a stranger: got %v, want ErrWrongPeer", atRelay.err)
	}
}

// E17: a certificate that claims a key which its maker does not hold.
func TestHandshakeRefusesBorrowedIdentity(t *testing.T) {
	relay, victim, thief := testKey(t, 1), testKey(t, 2), testKey(t, 3)
	weak, err := crypto.UnmarshalEd25519PublicKey((&ID{1})[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]crypto.PrivKey{
		"victim's key":    liar{PrivKey: private(t, thief), claims: private(t, victim).GetPublic()},
		"small-order key": liar{PrivKey: private(t, thief), claims: weak, sig: smallOrderSignature()},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := libp2ptls.NewIdentity(k)
			if err != nil {
				t.Fatal(err)
			}
			c, _ := id.ConfigForPeer("")
			c.VerifyPeerCertificate, c.NextProtos = nil, nil
			_, atRelay := handshake(t, c, relay.TLSConfig(nil))
			if atRelay.err == nil {
				got, err := PeerOf(atRelay.cs)
				t.Errorf("accepted as %q, %v", got, err)
			}
		})
	}
}

func TestHandshakeRefusesStrangersToTheScheme(t *testing.T) {
	relay := testKey(t, 1)
	secp, _, err := crypto.GenerateSecp256k1Key(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := libp2ptls.NewIdentity(secp)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, _ := other.ConfigForPeer("")
	otherKey.VerifyPeerCertificate, otherKey.NextProtos = nil, nil
	old := testKey(t, 2).TLSConfig(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, c := range map[string]*tls.Config{
		"no certificate": {InsecureSkipVerify: true},
		"other key type": otherKey,
		"TLS 1.2":        old,
	} {
		if _, atRelay := handshake(t, c, relay.TLSConfig(nil)); atRelay.err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if id, err := PeerOf(tls.ConnectionState{}); err == nil {
		t.Errorf("a state without certificates gave %s", id)
	}
}

type end struct {
	cs  tls.ConnectionState
	err error
}

func handshake(t *testing.T, client, server *tls.Config) (atClient, atServer end) {
	t.Helper()
	a, b := net.Pipe()
	c, s := tls.Client(a, client), tls.Server(b, server)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err != nil {
			b.Close() // or the client waits for the last flight
		}
		done <- err
	}()
	atClient.err = c.Handshake()
	if atClient.err == nil {
		go c.Read(make([]byte, 1)) // takes the server's alert off the pipe
	} else {
		a.Close()
	}
	atServer.err = <-done
	atClient.cs, atServer.cs = c.ConnectionState(), s.ConnectionState()
	a.Close()
	b.Close()
	return atClient, atServer
}

// liar signs with its own key, or with a ready-made signature, and claims
// another's.
type liar struct {
	crypto.PrivKey
	claims crypto.PubKey
	sig    []byte
}

func (l liar) GetPublic() crypto.PubKey { return l.claims }

func (l liar) Sign(b []byte) ([]byte, error) {
	if l.sig != nil {
		return l.sig, nil
	}
	return l.PrivKey.Sign(b)
}

func private(t *testing.T, k Key) crypto.PrivKey {
	t.Helper()
	p, err := crypto.UnmarshalEd25519PrivateKey(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
