package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sward/internal/identity"
	"sward/internal/wire"
)

// testNode is the node's end of the line, spoken by hand.
type testNode struct {
	t  *testing.T
	ws *websocket.Conn
}

// nodeLine is a relay that accepts one node at a time.
type nodeLine struct {
	key      identity.Key
	url      string
	sessions chan *NodeSession
	refused  chan error
}

func newNodeLine(t *testing.T) *nodeLine {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	l := &nodeLine{key: key, sessions: make(chan *NodeSession, 1), refused: make(chan error, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _, err := AcceptNode(t.Context(), Config{Key: key, Network: "test"}, w, r)
		if err != nil {
			l.refused <- err
			return
		}
		l.sessions <- s
		<-s.Done()
	}))
	t.Cleanup(server.Close)
	l.url = "ws" + strings.TrimPrefix(server.URL, "http")
	return l
}

// dial connects and answers the challenge with what prove makes of it.
func (l *nodeLine) dial(t *testing.T, prove func(nonce []byte) []byte) *testNode {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), l.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	ws.SetReadLimit(maxMessage)
	n := &testNode{t, ws}
	n.send(prove(n.receive()))
	return n
}

// prover answers a challenge as key does for relay in network.
func prover(key identity.Key, relay identity.ID, network string) func([]byte) []byte {
	return func(nonce []byte) []byte {
		id := key.ID()
		return append(id[:], key.Sign(network, nodeDomain, slices.Concat(relay[:], nonce))...)
	}
}

// join is a node that was accepted, and the relay's session with it. Control runs until the session ends.
func (l *nodeLine) join(t *testing.T) (*testNode, *NodeSession) {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	n := l.dial(t, prover(key, l.key.ID(), "test"))
	n.frame(0, wire.Hello{Version: wire.Version, Role: wire.RoleEdge, Network: "test"})
	s := <-l.sessions
	if s.Peer() != key.ID() {
		t.Fatalf("peer: got %s, want %s", s.Peer(), key.ID())
	}
	go func() {
		for {
			if _, _, err := s.Control(context.Background()); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { n.ws.CloseNow() })
	return n, s
}

func (n *testNode) send(message []byte) {
	n.t.Helper()
	if err := n.ws.Write(n.t.Context(), websocket.MessageBinary, message); err != nil {
		n.t.Fatal(err)
	}
}

func (n *testNode) frame(stream byte, m wire.Message) {
	n.t.Helper()
	b := bytes.NewBuffer([]byte{0, 0, 0, stream})
	if err := wire.Write(b, m); err != nil {
		n.t.Fatal(err)
	}
	n.send(b.Bytes())
}

func (n *testNode) receive() []byte {
	n.t.Helper()
	_, b, err := n.ws.Read(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

// bye is the code of the Bye that comes next.
func (n *testNode) bye() wire.Code {
	n.t.Helper()
	b := n.receive()
	if len(b) < streamHead+frameHead || wire.Type(b[streamHead]) != wire.TypeBye {
		n.t.Fatalf("got message %x, want Bye", b)
	}
	m, err := wire.ParseBye(b[streamHead+frameHead:])
	if err != nil {
		n.t.Fatal(err)
	}
	return m.Code
}

func TestNodeThatDoesNotProveItsKeyIsRefused(t *testing.T) {
	key, _ := identity.NewKey()
	other, _ := identity.NewKey()
	l := newNodeLine(t)
	proofs := map[string]struct {
		prove func([]byte) []byte
		want  wire.Code
	}{
		"another key": {func(nonce []byte) []byte {
			id := other.ID()
			return append(id[:], prover(key, l.key.ID(), "test")(nonce)[32:]...)
		}, wire.Binding},
		"another relay":   {prover(key, other.ID(), "test"), wire.Binding},
		"another network": {prover(key, l.key.ID(), "main"), wire.Binding},
		"another nonce":   {func([]byte) []byte { return prover(key, l.key.ID(), "test")(make([]byte, 32)) }, wire.Binding},
		"zero key":        {func([]byte) []byte { return make([]byte, nodeProof) }, wire.Binding},
		"too short":       {func([]byte) []byte { return []byte("hello") }, wire.ProtocolError},
	}
	for name, c := range proofs {
		t.Run(name, func(t *testing.T) {
			n := l.dial(t, c.prove)
			if got := n.bye(); got != c.want {
				t.Errorf("code: got %s, want %s", got.Name(), c.want.Name())
			}
			n.ws.Read(t.Context()) // answers the close
			if err := <-l.refused; wire.CodeOf(err) != c.want {
				t.Errorf("relay: got %v, want %s", err, c.want.Name())
			}
		})
	}
}

func TestWebPageCannotBeANode(t *testing.T) {
	l := newNodeLine(t)
	for origin, want := range map[string]int{
		"https://example.org": http.StatusForbidden, "chrome-extension://abcdefghijklmnop": http.StatusSwitchingProtocols,
	} {
		ws, answer, err := websocket.Dial(t.Context(), l.url, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if err == nil {
			ws.CloseNow()
		}
		if answer.StatusCode != want {
			t.Errorf("origin %s: got status %d, want %d", origin, answer.StatusCode, want)
		}
		<-l.refused
	}
}

// The exporter value ties a channel to one session: same at both ends, another in every session.
func TestNodeExporterBelongsToOneSession(t *testing.T) {
	l := newNodeLine(t)
	_, first := l.join(t)
	_, second := l.join(t)
	a, _ := first.Exporter("label", []byte("nonce"))
	again, _ := first.Exporter("label", []byte("nonce"))
	b, _ := second.Exporter("label", []byte("nonce"))
	if a != again || a == b {
		t.Errorf("got %x, again %x, in another session %x", a, again, b)
	}
}

func TestNodeStreamCarriesFramesBothWays(t *testing.T) {
	n, s := newNodeLine(t).join(t)
	opened := make(chan *NodeStream)
	go func() {
		st, _, err := s.Open(context.Background(), wire.Open{App: wire.AppCrawl})
		if err != nil {
			t.Error(err)
		}
		opened <- st
	}()
	if b := n.receive(); b[3] != 1 || wire.Type(b[streamHead]) != wire.TypeOpen {
		t.Fatalf("got message %x, want Open on stream 1", b)
	}
	n.frame(1, unknownFrame{})
	n.frame(1, wire.Opened{})
	st := <-opened
	if st == nil {
		t.FailNow()
	}
	if err := wire.Write(st, wire.Batch{URLs: []string{"https://example.org/"}}); err != nil {
		t.Fatal(err)
	}
	if b := n.receive(); wire.Type(b[streamHead]) != wire.TypeBatch {
		t.Errorf("got message %x, want Batch", b)
	}
	if _, err := st.Write([]byte("half a frame")); wire.CodeOf(err) != wire.ProtocolError {
		t.Errorf("write of a piece: got %v, want protocol_error", err)
	}
	n.frame(1, wire.BatchEnd{Fetched: 7})
	n.send([]byte{0, 0, 0, 1})
	if kind, body, err := wire.ReadFrame(st, nil); kind != wire.TypeBatchEnd || err != nil {
		t.Errorf("got %s %x, %v, want batch end", kind, body, err)
	}
	if _, err := st.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: got %v, want EOF", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if b := n.receive(); !bytes.Equal(b, []byte{0, 0, 0, 1}) {
		t.Errorf("got message %x, want the end of stream 1 and no more", b)
	}
}

// unknownFrame is of a type that this version does not have.
type unknownFrame struct{}

func (unknownFrame) Type() wire.Type        { return 0x7f }
func (unknownFrame) Append(b []byte) []byte { return append(b, "future"...) }

// open opens a stream to a node that answers well.
func (n *testNode) open(s *NodeSession, number byte) *NodeStream {
	n.t.Helper()
	n.frame(0, wire.Status{}) // any frame: the order of what follows does not matter
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for n.receive()[streamHead] != byte(wire.TypeOpen) {
		}
		n.frame(number, wire.Opened{})
	}()
	st, _, err := s.Open(n.t.Context(), wire.Open{})
	if err != nil {
		n.t.Fatal(err)
	}
	<-answered
	return st
}

func TestNodesCutReachesTheReader(t *testing.T) {
	n, s := newNodeLine(t).join(t)
	st := n.open(s, 1)
	n.frame(1, wire.Body{Data: []byte("half an answer")})
	n.frame(1, wire.Bye{Code: wire.CapDay})
	if got, err := io.ReadAll(st); wire.CodeOf(err) != wire.CapDay {
		t.Errorf("got %q, %v, want cap_day", got, err)
	}
}

func TestNodeStreamObeysItsDeadline(t *testing.T) {
	n, s := newNodeLine(t).join(t)
	st := n.open(s, 1)
	stopped := make(chan error)
	go func() {
		_, err := st.Read(make([]byte, 1))
		stopped <- err
	}()
	st.SetReadDeadline(time.Unix(1, 0))
	if err := <-stopped; !timedOut(err) {
		t.Errorf("got %v, want a deadline", err)
	}
}

func TestNodeStreamsAreBounded(t *testing.T) {
	n, s := newNodeLine(t).join(t)
	for i := range maxNodeStreams {
		n.open(s, byte(i+1))
	}
	if _, _, err := s.Open(t.Context(), wire.Open{}); wire.CodeOf(err) != wire.StreamLimit {
		t.Errorf("stream %d: got %v, want stream_limit", maxNodeStreams+1, err)
	}
}

func TestHostileNodeLosesItsSession(t *testing.T) {
	hostile := map[string]func(*testNode){
		"a message beyond the limit": func(n *testNode) { n.send(make([]byte, maxMessage+1)) },
		"half a frame":               func(n *testNode) { n.send([]byte{0, 0, 0, 0, byte(wire.TypeStatus), 0, 0, 9, 1}) },
		"two frames":                 func(n *testNode) { n.send([]byte{0, 0, 0, 1, 0x7f, 0, 0, 0, 0x7f, 0, 0, 0}) },
		"no stream":                  func(n *testNode) { n.send([]byte{1, 2}) },
		"text":                       func(n *testNode) { n.ws.Write(n.t.Context(), websocket.MessageText, []byte("hello")) },
		"a stream of its own":        func(n *testNode) { n.frame(9, wire.Open{}) },
		"a malformed bye":            func(n *testNode) { n.send([]byte{0, 0, 0, 0, byte(wire.TypeBye), 0, 0, 1, 0}) },
		"more than may be under way": func(n *testNode) {
			for range maxNodeBuffer/wire.MaxBodyChunk + 1 {
				b := bytes.NewBuffer([]byte{0, 0, 0, 1})
				wire.Write(b, wire.Body{Data: make([]byte, wire.MaxBodyChunk)})
				if n.ws.Write(n.t.Context(), websocket.MessageBinary, b.Bytes()) != nil {
					return // the session has ended already
				}
			}
		},
	}
	for name, attack := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, s := newNodeLine(t).join(t)
			st := n.open(s, 1)
			attack(n)
			<-s.Done()
			if _, err := st.Read(make([]byte, 1)); err == nil {
				t.Error("the stream of an ended session still reads")
			}
			if _, _, err := s.Open(t.Context(), wire.Open{}); wire.CodeOf(err) != wire.EdgeGone {
				t.Errorf("open: got %v, want edge_gone", err)
			}
			if s.Err() == nil || errors.Is(s.Err(), io.EOF) {
				t.Errorf("got %v, want a reason", s.Err())
			}
		})
	}
}

// A stream that is answered as its context ends may be handed out: it must read on.
func TestEndedContextLeavesNoDeadlineBehind(t *testing.T) {
	st := &NodeStream{session: &NodeSession{}, in: []byte("x"), wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	undo := until(ctx, st.SetReadDeadline)
	cancel()
	undo()
	if n, err := st.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("got %d bytes, %v, want 1", n, err)
	}
}
