package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"sward/internal/wire"
)

// Carrier is what a session runs over.
type Carrier uint8

const (
	// AnyCarrier is QUIC, or TCP where QUIC does not get through.
	AnyCarrier Carrier = iota
	QUIC
	TCP
	// Overlay is what TCP has, over a stream of another network (package reach), which has found a way to a peer that has
	// no address. Config.Dial and Config.Overlay are its ends.
	Overlay
)

func (c Carrier) String() string {
	switch c {
	case QUIC:
		return "quic"
	case TCP:
		return "tcp"
	case Overlay:
		return "overlay"
	}
	return "any"
}

// carrier is a connection of many streams to a peer that has proved its
// identity: what QUIC has, and what yamux over TLS over TCP is made to have. Its
// errors are those of this file, os.ErrDeadlineExceeded, and of the kind that
// say no more than that something broke.
type carrier interface {
	kind() Carrier
	// open begins a stream at once: errFull when the peer takes no more.
	open() (line, error)
	accept(ctx context.Context) (line, error)
	// end closes the connection with a last word to the peer. The first counts.
	end(code wire.Code, detail string)
	// context ends with the connection; why says why.
	context() context.Context
	why() error
	tls() tls.ConnectionState
	rtt() time.Duration
	stats() Stats
	// received grows with all that the peer sends.
	received() uint64
	// probe makes a living peer send something, unless every frame does.
	probe()
	localAddr() net.Addr
	remoteAddr() net.Addr
}

// line is one stream of a carrier.
type line interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	// CloseWrite ends the direction to the peer, which reads what is under way and
	// then io.EOF.
	CloseWrite() error
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error

	id() uint64
	// close is CloseWrite, and tells the peer that nobody reads any more.
	close() error
	// cut ends both directions; the peer hears the code.
	cut(code wire.Code)
}

var (
	_ carrier = quicCarrier{}
	_ carrier = (*tcpCarrier)(nil)
	_ line    = quicLine{}
	_ line    = tcpLine{}
)

// errFull refuses a stream beyond what the peer takes.
var errFull = errors.New("the peer takes no more streams")

// cutError is a stream that the peer has cut.
type cutError struct{ code wire.Code }

func (e *cutError) Error() string { return fmt.Sprintf("the peer cut the stream with code %d", e.code) }

// lastWord is the reason that one side gave for a connection's end.
type lastWord struct {
	code   wire.Code
	detail string
}

func (w *lastWord) Error() string {
	return fmt.Sprintf("the session was closed with code %d: %s", w.code, w.detail)
}
