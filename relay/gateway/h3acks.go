package gateway

import (
	"slices"
	"sync"

	"github.com/apernet/quic-go"
	"github.com/apernet/quic-go/qlog"
	"github.com/apernet/quic-go/qlogwriter"
)

// acks follows what of each stream of one QUIC connection has been acknowledged. QUIC has no socket that would tell, and
// its acknowledgements are of packets, in any order, whose contents are sent again in others when they are lost. So this
// reads along: the connection describes each packet that it sends, and each acknowledgement that it gets, to whoever
// would write its log.
type acks struct {
	mu      sync.Mutex
	sent    []sentPacket // those neither acknowledged nor lost, by number: as many as the congestion window holds
	streams map[quic.StreamID]*ackedStream
	count   uint64 // packets acknowledged
}

var (
	_ qlogwriter.Trace    = (*acks)(nil)
	_ qlogwriter.Recorder = (*acks)(nil)
)

// sentPacket is a packet that holds something of a stream.
type sentPacket struct {
	number int64
	pieces []piece
}

// piece is a part of a stream.
type piece struct {
	stream   *ackedStream
	from, to int64
}

// ackedStream is what has been acknowledged of one stream.
type ackedStream struct {
	prefix int64   // all below it
	beyond []piece // what was acknowledged above, in order and apart
	end    int64   // the stream's length, once it is sent; 0 before
	held   int     // by those who want to know
}

func newAcks() *acks { return &acks{streams: map[quic.StreamID]*ackedStream{}} }

// AddProducer hands out the one recorder. SupportsSchemas declines HTTP/3's own events.
func (a *acks) AddProducer() qlogwriter.Recorder { return a }
func (a *acks) SupportsSchemas(string) bool      { return false }
func (a *acks) Close() error                     { return nil }

// RecordEvent is called for everything that happens to the connection, in order.
func (a *acks) RecordEvent(event qlogwriter.Event) {
	switch e := event.(type) {
	case qlog.PacketSent:
		if e.Header.PacketType == qlog.PacketType1RTT {
			a.sentOne(int64(e.Header.PacketNumber), e.Frames)
		}
	case qlog.PacketReceived:
		if e.Header.PacketType != qlog.PacketType1RTT {
			return
		}
		for _, f := range e.Frames {
			if ack, ok := f.Frame.(*qlog.AckFrame); ok {
				a.acknowledge(ack)
			}
		}
	case qlog.PacketLost:
		if e.Header.PacketType == qlog.PacketType1RTT {
			a.lose(int64(e.Header.PacketNumber))
		}
	}
}

func (a *acks) sentOne(number int64, frames []qlog.Frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	packet, some := sentPacket{number: number}, false
	for _, f := range frames {
		frame, ok := f.Frame.(*qlog.StreamFrame)
		if !ok {
			continue
		}
		some = true
		s := a.streams[frame.StreamID]
		if s == nil {
			continue // one-way, or over
		}
		if frame.Fin {
			s.end = frame.Offset + frame.Length
		}
		packet.pieces = append(packet.pieces, piece{s, frame.Offset, frame.Offset + frame.Length})
	}
	if some {
		a.sent = append(a.sent, packet)
	}
}

func (a *acks) acknowledge(ack *qlog.AckFrame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := a.sent[:0]
	largest := int64(ack.LargestAcked())
	for i, packet := range a.sent {
		if packet.number > largest {
			kept = append(kept, a.sent[i:]...)
			break
		}
		within := slices.ContainsFunc(ack.AckRanges, func(r qlog.AckRange) bool {
			return int64(r.Smallest) <= packet.number && packet.number <= int64(r.Largest)
		})
		if !within {
			kept = append(kept, packet)
			continue
		}
		a.count++
		for _, s := range packet.pieces {
			s.stream.add(s)
		}
	}
	clear(a.sent[len(kept):])
	a.sent = kept
}

// lose forgets a packet: what it held is sent again.
func (a *acks) lose(number int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent = slices.DeleteFunc(a.sent, func(p sentPacket) bool { return p.number == number })
}

// add notes a piece that was acknowledged.
func (s *ackedStream) add(got piece) {
	if got.from > s.prefix {
		at, _ := slices.BinarySearchFunc(s.beyond, got.from, func(b piece, from int64) int { return int(b.from - from) })
		s.beyond = slices.Insert(s.beyond, at, got)
		return
	}
	s.prefix = max(s.prefix, got.to)
	joined := 0
	for ; joined < len(s.beyond) && s.beyond[joined].from <= s.prefix; joined++ {
		s.prefix = max(s.prefix, s.beyond[joined].to)
	}
	s.beyond = s.beyond[joined:]
}

// hold follows a stream from now on, until as many drops as holds; a stream is held first before anything is sent on it.
func (a *acks) hold(id quic.StreamID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams[id] == nil {
		a.streams[id] = &ackedStream{}
	}
	a.streams[id].held++
}

func (a *acks) drop(id quic.StreamID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.streams[id]; s != nil {
		if s.held--; s.held == 0 {
			delete(a.streams, id)
		}
	}
}

// of is how many bytes of a stream have been acknowledged without a gap, and its length, 0 while it is not known.
func (a *acks) of(id quic.StreamID) (prefix, end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.streams[id]; s != nil {
		return s.prefix, s.end
	}
	return 0, 0
}

// quiet reports whether nothing of any stream is under way.
func (a *acks) quiet() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.sent) == 0
}

// moved counts what is acknowledged, of all streams.
func (a *acks) moved() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}
