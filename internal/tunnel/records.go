package tunnel

import (
	"net"
	"sync"
)

// recordsSize in bytes is what is read at once from a TCP connection that is busy, and
// the room for one of yamux's messages in TLS records.
const recordsSize = 68 << 10

var recordBuffers = sync.Pool{New: func() any { return new([recordsSize]byte) }}

// records lies between TLS and TCP. TLS asks the system for each record of 16 KiB,
// twice when it reads and once when it writes; with records that is once for all the
// records of a message, and once for all that has come. A connection at rest holds
// no memory for it.
type records struct {
	net.Conn

	// For the one who reads.
	read  *[recordsSize]byte // nil: nothing was read ahead
	ahead []byte             // of read
	busy  bool               // the last read took all that it had room for

	mu      sync.Mutex
	written *[recordsSize]byte // nil: writes go through
	size    int                // of what is in it
}

// Read takes from what was read ahead, and reads ahead when there is likely more.
func (b *records) Read(p []byte) (int, error) {
	if b.read == nil {
		if !b.busy {
			n, err := b.Conn.Read(p)
			b.busy = n == len(p)
			return n, err
		}
		buf := recordBuffers.Get().(*[recordsSize]byte)
		n, err := b.Conn.Read(buf[:])
		if b.busy = n > len(p); !b.busy {
			copy(p, buf[:n])
			recordBuffers.Put(buf)
			return n, err
		}
		b.read, b.ahead = buf, buf[:n] // an error is met again
	}
	n := copy(p, b.ahead)
	if b.ahead = b.ahead[n:]; len(b.ahead) == 0 {
		recordBuffers.Put(b.read)
		b.read = nil
	}
	return n, nil
}

// Write keeps p for flush, after hold, and writes it otherwise.
func (b *records) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written == nil {
		return b.Conn.Write(p)
	}
	if len(p) > len(b.written)-b.size {
		if err := b.flushLocked(); err != nil {
			return 0, err
		}
		if len(p) > len(b.written) {
			return b.Conn.Write(p)
		}
	}
	b.size += copy(b.written[b.size:], p)
	return len(p), nil
}

// hold begins to keep what is written.
func (b *records) hold() {
	buf := recordBuffers.Get().(*[recordsSize]byte)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written = buf
}

// flush writes what was kept, and keeps no more.
func (b *records) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.flushLocked()
	recordBuffers.Put(b.written)
	b.written = nil
	return err
}

func (b *records) flushLocked() error {
	if b.size == 0 {
		return nil
	}
	_, err := b.Conn.Write(b.written[:b.size])
	b.size = 0
	return err
}

// CloseWrite ends what is sent.
func (b *records) CloseWrite() error {
	closeWrite(b.Conn)
	return nil
}
