package identity_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"sward/internal/identity"
)

func TestLibp2pKnowsAKeyByItsID(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Libp2p()
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(private)
	if err != nil || p != key.ID().Peer() {
		t.Errorf("libp2p calls the key %s (%v), we %s", p, err, key.ID().Peer())
	}
	if back, err := identity.OfPeer(p); err != nil || back != key.ID() {
		t.Errorf("the way back leads to %s, %v", back, err)
	}
	if id, err := identity.OfPeer("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"); err == nil {
		t.Errorf("another kind of key is %s", id)
	}
}
