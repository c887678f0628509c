package identity

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Libp2p is k as libp2p wants it, for a host that other hosts know by k's ID.
func (k Key) Libp2p() (crypto.PrivKey, error) {
	private, err := crypto.UnmarshalEd25519PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("%s for libp2p: %w", k, err)
	}
	return private, nil
}

// Peer is the ID as libp2p spells it in memory.
func (id ID) Peer() peer.ID { return peer.ID(multihashPrefix + string(id[:])) }

// OfPeer is the ID of a libp2p peer. It refuses what ParseID refuses.
func OfPeer(p peer.ID) (ID, error) { return ParseID(p.String()) }
