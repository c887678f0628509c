package bbr

import (
	"time"

	"github.com/apernet/quic-go/monotime"
)

const (
	// smallRing is how many packets a quiet session keeps records of: 1 KiB on each of 10,000 idle sessions.
	smallRing = 16
	// largeRing bounds the records of a busy one: all that may be in flight, and those between that carry no data.
	largeRing = 32 << 10
	// staleAfter is when a packet without an answer is forgotten. quic-go's probe timeout gives packets up without a
	// word, and their records would hold their places for ever.
	staleAfter = 10 * time.Second
	// sparse is how many numbers a packet in flight may take up: acknowledgements that travel alone have some too. In a
	// ring with fewer in flight, the record in the way is one that was given up.
	sparse = 4
)

// sampler measures how fast the path delivers, by draft-cheng-iccrg-delivery-rate-estimation: each packet remembers how
// much had been delivered when it left, so that its acknowledgement tells what was delivered since and in what time.
type sampler struct {
	delivered   int64         // bytes that the peer has acknowledged
	deliveredAt monotime.Time // when it last did
	firstSent   monotime.Time // when the packet left whose acknowledgement was the last
	lastSent    monotime.Time
	appLimited  int64 // what is in flight until this much is delivered was sent by a sender with too little to say; 0: none
	roundEnds   int64 // a packet that left after this much was delivered ends the round

	ring   []flight // by packet number, a power of two long
	live   int      // how many of them are in flight, or were given up without a word
	newest flight   // of the packets in the acknowledgement at hand, the one that left last
}

// flight is what a packet in flight remembers of its departure.
type flight struct {
	number      int64
	size        int64
	delivered   int64
	sent        monotime.Time // 0: nothing is remembered here
	firstSent   monotime.Time
	deliveredAt monotime.Time
	appLimited  bool
}

// sample is what one acknowledgement tells of the path.
type sample struct {
	rtt        time.Duration // the newest packet's, with the peer's waiting
	interval   time.Duration // over which rate was measured
	rate       rate          // 0: not to be had
	appLimited bool          // the sender had less to say than the path would have carried
	newRound   bool          // a round trip has passed since the last sample that said so
}

// idle begins a new measurement, with nothing in flight. After a pause the records of a busy hour are let go.
func (s *sampler) idle(now monotime.Time) {
	if len(s.ring) > smallRing && now.Sub(s.lastSent) > staleAfter {
		s.ring = nil
	}
	s.firstSent, s.deliveredAt = now, now
}

func (s *sampler) markAppLimited(inFlight int64) {
	s.appLimited = max(s.delivered+inFlight, 1)
}

func (s *sampler) sent(now monotime.Time, number, size int64) {
	s.lastSent = now
	*s.place(now, number) = flight{
		number:      number,
		size:        size,
		delivered:   s.delivered,
		sent:        now,
		firstSent:   s.firstSent,
		deliveredAt: s.deliveredAt,
		appLimited:  s.appLimited > 0,
	}
}

// place finds room for a packet's record, and makes room when one is in the way that still counts.
func (s *sampler) place(now monotime.Time, number int64) *flight {
	if s.ring == nil {
		s.ring = make([]flight, smallRing)
		s.live = 0
	}
	f := &s.ring[number&int64(len(s.ring)-1)]
	for f.sent != 0 && now.Sub(f.sent) < staleAfter && s.live > len(s.ring)/sparse && len(s.ring) < largeRing {
		s.grow()
		f = &s.ring[number&int64(len(s.ring)-1)]
	}
	if f.sent == 0 {
		s.live++
	}
	return f
}

func (s *sampler) grow() {
	old := s.ring
	s.ring = make([]flight, 2*len(old))
	for _, f := range old {
		if f.sent != 0 {
			s.ring[f.number&int64(len(s.ring)-1)] = f
		}
	}
}

// begin takes up an acknowledgement.
func (s *sampler) begin() { s.newest = flight{} }

func (s *sampler) acked(now monotime.Time, number, size int64) {
	s.delivered += size
	s.deliveredAt = now
	f := s.find(number)
	// The handshake's packets have numbers of their own, which are ours again: their sizes differ.
	if f == nil || f.size != size {
		return
	}
	if s.newest.sent == 0 || f.sent > s.newest.sent || f.sent == s.newest.sent && f.number > s.newest.number {
		s.newest = *f
	}
	s.forget(f)
}

func (s *sampler) lost(number int64) {
	if f := s.find(number); f != nil {
		s.forget(f)
	}
}

func (s *sampler) forget(f *flight) {
	f.sent = 0
	s.live--
}

func (s *sampler) find(number int64) *flight {
	if len(s.ring) == 0 {
		return nil
	}
	f := &s.ring[number&int64(len(s.ring)-1)]
	if f.sent == 0 || f.number != number {
		return nil
	}
	return f
}

// sample is what the acknowledgement tells, if any of its packets is remembered.
func (s *sampler) sample(now monotime.Time) (sample, bool) {
	if s.appLimited > 0 && s.delivered > s.appLimited {
		s.appLimited = 0
	}
	f := &s.newest
	if f.sent == 0 {
		return sample{}, false
	}
	s.firstSent = f.sent
	r := sample{rtt: max(now.Sub(f.sent), 1), appLimited: f.appLimited}
	// The slower of the two counts: acknowledgements that arrive in a bunch were not delivered in one, and packets
	// that left in a bunch say nothing of a path that takes them one by one.
	r.interval = max(f.sent.Sub(f.firstSent), s.deliveredAt.Sub(f.deliveredAt))
	if r.interval > 0 {
		r.rate = perSecond(s.delivered-f.delivered, r.interval)
	}
	if f.delivered >= s.roundEnds {
		s.roundEnds = s.delivered
		r.newRound = true
	}
	return r, true
}
