package tunnel

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// nodeProof is the length of a node's answer to the challenge: key and signature.
	nodeProof = len(identity.ID{}) + identity.SignatureSize
	// nodeDomain is the type of that signature.
	nodeDomain = "node"
)

// AcceptNode makes a session of a request to upgrade: it challenges the node to prove its
// key for this relay and reads its Hello. The caller answers with a Welcome by Send, or with
// Refuse, and judges what the Hello says. On an error the request has been answered.
func AcceptNode(ctx context.Context, cfg Config, w http.ResponseWriter, r *http.Request) (*NodeSession, wire.Hello, error) {
	cfg = cfg.withDefaults()
	// A page that somebody looks at has no business here: its visitors have agreed to nothing.
	if origin := r.Header.Get("Origin"); strings.HasPrefix(origin, "http:") || strings.HasPrefix(origin, "https:") {
		http.Error(w, "web pages cannot be nodes", http.StatusForbidden)
		return nil, wire.Hello{}, wire.Errorf(wire.Binding, "a web page asked to be a node")
	}
	// There is no cookie or other ambient right that an origin could abuse: the key is the only one.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil, wire.Hello{}, fmt.Errorf("accept node: %w", err)
	}
	ws.SetReadLimit(maxMessage)
	s := &NodeSession{ws: ws, remote: r.RemoteAddr, log: cfg.Log, done: make(chan struct{}), streams: map[uint32]*NodeStream{}}
	greeting, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	hello, err := s.greet(greeting, cfg)
	if err != nil {
		refusal, ok := errors.AsType[*wire.Error](err)
		if !ok {
			refusal = wire.Errorf(wire.ProtocolError, "no hello within %v", greetTimeout)
		}
		s.Refuse(refusal.Code, refusal.Detail)
		return nil, wire.Hello{}, fmt.Errorf("greet node: %w", err)
	}
	return s, hello, nil
}

// greet proves who is there. The relay proves itself with the channel that it signs, whose
// exporter value is made of this challenge.
func (s *NodeSession) greet(ctx context.Context, cfg Config) (hello wire.Hello, err error) {
	var nonce [32]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return hello, err
	}
	relay := cfg.Key.ID()
	if err := s.ws.Write(ctx, websocket.MessageBinary, nonce[:]); err != nil {
		return hello, err
	}
	_, proof, err := s.ws.Read(ctx)
	if err != nil {
		return hello, err
	}
	if len(proof) != nodeProof {
		return hello, wire.Errorf(wire.ProtocolError, "the challenge was answered with %d bytes, not %d", len(proof), nodeProof)
	}
	s.peer = identity.ID(proof[:len(s.peer)])
	if !s.peer.Verify(cfg.Network, nodeDomain, slices.Concat(relay[:], nonce[:]), proof[len(s.peer):]) {
		return hello, wire.Errorf(wire.Binding, "the key was not proved for this relay and network")
	}
	s.exporter = sha256.Sum256(slices.Concat(nonce[:], relay[:], s.peer[:]))
	id, frame, err := s.receive(ctx)
	if err != nil {
		return hello, err
	}
	if id != 0 || len(frame) == 0 || wire.Type(frame[0]) != wire.TypeHello {
		return hello, wire.Errorf(wire.ProtocolError, "the session did not begin with hello")
	}
	return wire.ParseHello(frame[frameHead:])
}
