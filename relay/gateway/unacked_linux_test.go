package gateway

import (
	"net"
	"testing"
	"time"
)

// joined is a TCP connection over loopback, both ends of it.
func joined(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

func TestPartnerThatResetIsSeenAsDead(t *testing.T) {
	near, far := joined(t)
	if resetByPeer(near) {
		t.Error("a live connection counts as dead")
	}
	far.SetLinger(0) // its close is a reset
	far.Close()
	for end := time.Now().Add(5 * time.Second); !resetByPeer(near); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a connection that its peer has reset does not count as dead")
		}
	}
}

func TestUnreadBytesAreUnacknowledgedOnlyBeyondTheBuffers(t *testing.T) {
	near, _ := joined(t)
	near.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	written := 0
	for chunk := make([]byte, 64<<10); ; {
		n, err := near.Write(chunk)
		if written += n; err != nil {
			break // both buffers are full: the peer reads nothing
		}
	}
	pending, known := Unacknowledged(near)
	if !known || pending <= 0 || pending >= written {
		t.Errorf("Unacknowledged = %d, %v of %d written to a peer that reads nothing; want some, not all", pending, known, written)
	}
	near.Close()
	if pending, known := Unacknowledged(near); known {
		t.Errorf("Unacknowledged = %d, known, of a closed connection", pending)
	}
}

// Our FIN takes a sequence number, which the system counts among the bytes that wait. It is none that the partner lacks.
func TestEndOfTheStreamIsNoUnacknowledgedByte(t *testing.T) {
	near, far := joined(t)
	far.SetReadBuffer(4 << 10)
	near.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for chunk := make([]byte, 64<<10); ; {
		if _, err := near.Write(chunk); err != nil {
			break // both buffers are full: the peer reads nothing
		}
	}
	c := newClient(near, Config{}.withDefaults())
	before, _ := Unacknowledged(c)
	c.CloseWrite()
	if after, _ := Unacknowledged(c); before == 0 || after != before {
		t.Errorf("unacknowledged = %d before the end of the stream, %d after it, want the same", before, after)
	}
}
