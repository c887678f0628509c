package identity

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto/pb"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// ErrWrongPeer says that the other end proved a key, but not one that was asked for.
var ErrWrongPeer = errors.New("wrong peer")

// TLSConfig proves k to the other end and demands its proof in turn, as libp2p
// does: a self-signed certificate with an extension in which the peer's key
// signs the certificate's key. TLS 1.3 only, no resumption, for client and
// server alike and for any number of connections. peer decides who is accepted
// ([Only]); nil accepts anyone who proves some key. The caller sets NextProtos.
// Source: https://github.com/libp2p/specs/blob/master/tls/tls.md
func (k Key) TLSConfig(peer func(ID) error) *tls.Config {
	c, err := k.libp2pConfig()
	if err != nil {
		panic(fmt.Sprintf("identity: TLS config for %s: %v", k, err)) // only a zero Key gets here
	}
	c.NextProtos = nil
	// libp2p's own check is for one connection only. VerifyConnection is for
	// any number, and runs after the peer proved its certificate's key.
	c.VerifyPeerCertificate = nil
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		id, err := PeerOf(cs)
		if err != nil {
			return err
		}
		if peer == nil {
			return nil
		}
		return peer(id)
	}
	return c
}

// Only accepts these peers and refuses all others with [ErrWrongPeer].
func Only(ids ...ID) func(ID) error {
	ids = slices.Clone(ids)
	return func(id ID) error {
		if slices.Contains(ids, id) {
			return nil
		}
		return fmt.Errorf("%w: %s", ErrWrongPeer, id)
	}
}

// PeerOf returns who is at the other end of a TLS connection. It checks the
// proof again, so the state of a connection that some other config set up gives
// an error and not a name.
func PeerOf(cs tls.ConnectionState) (ID, error) {
	public, err := libp2ptls.PubKeyFromCertChain(cs.PeerCertificates)
	if err != nil {
		return ID{}, fmt.Errorf("peer certificate: %w", err)
	}
	if public.Type() != pb.KeyType_Ed25519 {
		return ID{}, fmt.Errorf("peer certificate: key type %s, want Ed25519", public.Type())
	}
	raw, err := public.Raw()
	if err != nil || len(raw) != len(ID{}) {
		return ID{}, errors.New("peer certificate: malformed Ed25519 key")
	}
	id := ID(raw)
	// The certificate is checked by the plain equation, which a small-order
	// key passes without anybody owning it.
	if !id.strong() {
		return ID{}, errors.New("peer certificate: a key of small order, which nobody owns")
	}
	return id, nil
}

func (k Key) libp2pConfig() (*tls.Config, error) {
	private, err := k.Libp2p()
	if err != nil {
		return nil, err
	}
	identity, err := libp2ptls.NewIdentity(private)
	if err != nil {
		return nil, err
	}
	c, _ := identity.ConfigForPeer("")
	return c, nil
}
