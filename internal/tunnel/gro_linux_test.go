package tunnel

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"unsafe"

	"github.com/apernet/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"sward/internal/identity"
)

// controlMessage is one, as the kernel writes it.
func controlMessage(level, kind int32, body []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(body)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(body)))
	copy(b[unix.CmsgLen(0):], body)
	return b
}

func native16(n uint16) []byte { return binary.NativeEndian.AppendUint16(nil, n) }
func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// groSocket is a socket with UDP_GRO, or the end of the test where the kernel has none.
func groSocket(t *testing.T) *groConn {
	t.Helper()
	c, ok := coalescing(socket(t)).(*groConn)
	if !ok {
		t.Skip("this kernel has no UDP_GRO")
	}
	return c
}

// room is room for n datagrams, as quic-go makes it.
func room(n int) []ipv4.Message {
	messages := make([]ipv4.Message, n)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, 1452)}
		messages[i].OOB = make([]byte, 128)
	}
	return messages
}

func TestCoalescedDatagramsAreTakenApart(t *testing.T) {
	const size = 1200 // of a segment
	c := groSocket(t)
	sender := socket(t).(*net.UDPConn)
	to := c.LocalAddr().(*net.UDPAddr)
	send := func(data []byte) {
		t.Helper()
		control := controlMessage(unix.IPPROTO_UDP, unix.UDP_SEGMENT, native16(size))
		if len(data) <= size {
			control = nil
		}
		if _, _, err := sender.WriteMsgUDP(data, control, to); err != nil {
			t.Fatal(err)
		}
	}
	// Each byte tells its place, so that pieces that are lost, torn or out of order show.
	data := make([]byte, 20*size+700)
	for i := range data {
		data[i] = byte(i / 7)
	}
	for _, want := range []struct {
		name   string
		length int
		sizes  []int // sizes of the datagrams
	}{
		{"one", 300, []int{300}},
		{"one of full size", size, []int{size}},
		{"two", 2 * size, []int{size, size}},
		{"with a short end", 3*size + 1, []int{size, size, size, 1}},
		{"more than a batch", 20*size + 700, append(slices.Repeat([]int{size}, 20), 700)},
	} {
		t.Run(want.name, func(t *testing.T) {
			send(data[:want.length])
			var got []byte
			var sizes []int
			for len(got) < want.length {
				messages := room(8)
				n, err := c.ReadBatch(messages, 0)
				if err != nil || n < 1 {
					t.Fatalf("got %d messages, %v", n, err)
				}
				for _, m := range messages[:n] {
					if m.Addr.String() != sender.LocalAddr().String() {
						t.Errorf("a piece came from %v, want %v", m.Addr, sender.LocalAddr())
					}
					got = append(got, m.Buffers[0][:m.N]...)
					sizes = append(sizes, m.N)
				}
				if len(sizes) == n && want.length > size && c.segment != size {
					t.Errorf("the kernel did not coalesce: segments of %d bytes, want %d", c.segment, size)
				}
			}
			if !bytes.Equal(got, data[:want.length]) {
				t.Error("what was read is not what was sent")
			}
			if !slices.Equal(sizes, want.sizes) {
				t.Errorf("got datagrams of %v bytes, want %v", sizes, want.sizes)
			}
		})
	}
}

// An empty datagram and one that is too large are datagrams as well: neither stops the reader.
func TestOddDatagramsPass(t *testing.T) {
	c := groSocket(t)
	sender := socket(t)
	for _, size := range []int{0, 9000, 5} {
		if _, err := sender.WriteTo(make([]byte, size), c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		messages := room(8)
		n, err := c.ReadBatch(messages, 0)
		if want := min(size, 1452); n != 1 || err != nil || messages[0].N != want {
			t.Errorf("got %d messages, the first of %d bytes, %v; want one of %d", n, messages[0].N, err, want)
		}
	}
}

// The wrapper must not cost what it was made beside: half of the speed is in sending by segments.
func TestCoalescingLeavesSegmentationOn(t *testing.T) {
	near, far := groSocket(t), groSocket(t)
	relay, edge := testKey(t, 'r'), testKey(t, 'e')
	server := &quic.Transport{Conn: near}
	defer server.Close()
	l, err := server.Listen(relayConfig(t).tls(identity.Only(edge.ID())), quicConfig(0))
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	served := make(chan bool, 1)
	go func() {
		conn, err := l.Accept(context.Background())
		if err != nil {
			served <- false
			return
		}
		served <- conn.ConnectionState().GSO
		if st, err := conn.AcceptStream(context.Background()); err == nil {
			io.Copy(st, io.LimitReader(st, size))
			st.Close()
		}
	}()
	client := &quic.Transport{Conn: far}
	defer client.Close()
	conn, err := client.Dial(soon(t), l.Addr(), edgeConfig(t).tls(identity.Only(relay.ID())), quicConfig(0))
	if err != nil {
		t.Fatal(err)
	}
	if !conn.ConnectionState().GSO || !<-served {
		t.Error("segmentation offload is off at one end")
	}
	st, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	go st.Write(data)
	got := make([]byte, size)
	if _, err := io.ReadFull(st, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the echo differs, or ended with %v", err)
	}
}

// Where there is nothing to coalesce, nothing is changed and nobody is told.
func TestCoalescingFallsBackInSilence(t *testing.T) {
	closed := socket(t)
	closed.Close()
	if got := coalescing(closed); got != closed {
		t.Errorf("a socket that refuses the option became a %T", got)
	}
	foreign := struct{ net.PacketConn }{socket(t)}
	if got := coalescing(foreign); got != net.PacketConn(foreign) {
		t.Errorf("a socket of another kind became a %T", got)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if enableGRO(raw) {
		t.Error("a TCP socket took the option of UDP")
	}
}

func TestSegmentSize(t *testing.T) {
	ecn := controlMessage(unix.IPPROTO_IP, unix.IP_TOS, []byte{2})
	for _, c := range []struct {
		name    string
		control []byte
		want    int
	}{
		{"no control message", nil, 5000},
		{"of others only", ecn, 5000},
		{"an int", controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, native32(1252)), 1252},
		{"half an int", controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, native16(1252)), 1252},
		{"after others", append(bytes.Clone(ecn), controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, native32(1252))...), 1252},
		{"zero", controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, native32(0)), 5000},
		{"one byte", controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, []byte{7}), 5000},
		{"cut off", controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, native32(1252))[:10], 5000},
	} {
		if got := segmentSize(c.control, 5000); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// Whatever the control messages are, the datagram comes apart and to an end.
func FuzzSegmentSize(f *testing.F) {
	f.Add(controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, native32(1252)), 1400)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, control []byte, whole int) {
		if got := segmentSize(control, whole); got < 1 {
			t.Errorf("got segments of %d bytes", got)
		}
	})
}
