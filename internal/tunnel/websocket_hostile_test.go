package tunnel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sward/internal/wire"
)

// rawNode is a node's end below the WebSocket's frames: what is written on it need not be any.
type rawNode struct {
	net.Conn
	r      *bufio.Reader
	answer *http.Response
}

// dialRaw asks for an upgrade, with what extensions it likes.
func (l *nodeLine) dialRaw(t *testing.T, extensions string) *rawNode {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	request := "GET / HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if extensions != "" {
		request += "Sec-WebSocket-Extensions: " + extensions + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	n := &rawNode{Conn: conn, r: bufio.NewReader(conn)}
	if n.answer, err = http.ReadResponse(n.r, nil); err != nil { //nolint:bodyclose // the connection is no HTTP any more
		t.Fatal(err)
	}
	if n.answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade was answered with %s", n.answer.Status)
	}
	return n
}

// joinRaw is a rawNode that was accepted.
func (l *nodeLine) joinRaw(t *testing.T) (*rawNode, *NodeSession) {
	t.Helper()
	n := l.dialRaw(t, "")
	head := make([]byte, 2) // of the challenge, which is short
	if _, err := io.ReadFull(n.r, head); err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, head[1])
	if _, err := io.ReadFull(n.r, nonce); err != nil {
		t.Fatal(err)
	}
	n.Write(socketFrame(socketBinary, 0, prover(testKey(t, 'n'), l.key.ID(), "test")(nonce)))
	hello := bytes.NewBuffer([]byte{0, 0, 0, 0})
	if err := wire.Write(hello, wire.Hello{Version: wire.Version, Role: wire.RoleEdge, Network: "test"}); err != nil {
		t.Fatal(err)
	}
	n.Write(socketFrame(socketBinary, 0, hello.Bytes()))
	s := <-l.sessions
	go func() {
		for {
			if _, _, err := s.Control(t.Context()); err != nil {
				return
			}
		}
	}()
	return n, s
}

// A WebSocket frame's first byte (RFC 6455 §5.2): the end of a message, compressed, binary.
const (
	socketEnd        = 0x80
	socketCompressed = 0x40
	socketBinary     = socketEnd | 2
)

// socketFrame is a frame with a mask of zeros. Its length is that of the payload, or what is claimed.
func socketFrame(first byte, claimed uint64, payload []byte) []byte {
	length := max(claimed, uint64(len(payload)))
	b := []byte{first}
	switch {
	case claimed > 0 || length > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	case length > 125:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = append(b, 0x80|byte(length))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// A node that speaks WebSocket badly loses its session, before anything is set aside for what it claims.
func TestHostileWebSocketFrames(t *testing.T) {
	message := func(stream byte, frame ...byte) []byte { return append([]byte{0, 0, 0, stream}, frame...) }
	for name, bytes := range map[string][]byte{
		"E14: a length of 2^63-1":           socketFrame(socketBinary, 1<<63-1, make([]byte, 2*maxMessage)),
		"E14: a length with the sign bit":   socketFrame(socketBinary, 1<<63, []byte("x")),
		"E14: a gigabyte":                   socketFrame(socketBinary, 1<<30, make([]byte, 2*maxMessage)),
		"E15: a compressed message":         socketFrame(socketBinary|socketCompressed, 0, []byte{0x4a, 0x04, 0x04, 0x00}),
		"E03: no mask":                      {socketBinary, 4, 0, 0, 0, 0},
		"E03: an unknown opcode":            socketFrame(socketEnd|3, 0, message(0)),
		"E03: a control frame in pieces":    socketFrame(9, 0, nil),
		"E03: a frame shorter than it says": socketFrame(socketBinary, 0, message(0, byte(wire.TypeStatus), 0xff, 0xff, 0xff)),
		"E04: a stream that was not opened": socketFrame(socketBinary, 0, message(7, 0x7f, 0, 0, 0)),
		"E04: the last stream there can be": socketFrame(socketBinary, 0, []byte{0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0}),
	} {
		t.Run(name, func(t *testing.T) {
			n, s := newNodeLine(t).joinRaw(t)
			before := heapInUse()
			n.Write(bytes)
			select {
			case <-s.Done():
			case <-time.After(patience):
				t.Fatal("the session goes on")
			}
			if grown := heapInUse() - before; grown > 16<<20 {
				t.Errorf("the heap has grown by %d bytes", grown)
			}
			if _, _, err := s.Open(t.Context(), wire.Open{}); wire.CodeOf(err) != wire.EdgeGone {
				t.Errorf("open: got %v, want edge_gone", err)
			}
		})
	}
}

// E15: compression is off on a node's line, however a node asks: no message can be a bomb.
func TestNodeLineIsNeverCompressed(t *testing.T) {
	for _, extensions := range []string{
		"permessage-deflate", "permessage-deflate; server_no_context_takeover; client_max_window_bits=15", "x-webkit-deflate-frame",
	} {
		n := newNodeLine(t).dialRaw(t, extensions)
		if got := n.answer.Header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("asked for %q, was given %q", extensions, got)
		}
	}
}

// E17 on a node's line: a proof for one key does not let another in.
func TestNodeProofNamesItsKey(t *testing.T) {
	l := newNodeLine(t)
	prove := prover(testKey(t, 'n'), l.key.ID(), "test")
	n := l.dial(t, func(nonce []byte) []byte {
		proof, other := prove(nonce), testKey(t, 'o').ID()
		copy(proof, other[:])
		return proof
	})
	if code := n.bye(); code != wire.Binding {
		t.Errorf("got %s, want binding", code)
	}
	if err := <-l.refused; wire.CodeOf(err) != wire.Binding {
		t.Errorf("the relay says %v, want binding", err)
	}
}
