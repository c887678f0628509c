package gateway

import (
	"sync/atomic"

	"golang.org/x/net/http2"
)

// frameHead is the length of a frame's head: length (3 bytes), type, flags, stream (RFC 9113 §4.1).
const frameHead = 9

// dataFrames counts the bytes of DATA frames in what an HTTP/2 server writes, of all streams together. It reads nothing
// but heads.
type dataFrames struct {
	head  [frameHead]byte
	have  int    // bytes of head
	left  int    // bytes of the frame still to come
	data  bool   // the frame is DATA
	total uint64 // bytes of DATA so far
}

func (f *dataFrames) pass(p []byte) {
	for len(p) > 0 {
		if f.left == 0 {
			n := copy(f.head[f.have:], p)
			f.have, p = f.have+n, p[n:]
			if f.have == frameHead {
				f.have = 0
				f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
				f.data = http2.FrameType(f.head[3]) == http2.FrameData
			}
			continue
		}
		n := min(f.left, len(p))
		if f.data {
			f.total += uint64(n)
		}
		f.left, p = f.left-n, p[n:]
	}
}

// scheduler counts the bytes of DATA frames that have been let past flow control. They are written in that order, all
// of them, soon: so a stream's bytes lie below the count that stands when its write has returned, and that place is
// reached whatever other streams wait for.
//
// Schedulers of one's own are deprecated, and in net/http's own HTTP/2 they will not be asked. Then the count stays at
// zero, and h2conn.place is further behind.
type scheduler struct {
	http2.WriteScheduler //nolint:staticcheck // see above
	let                  *atomic.Uint64
}

// newScheduler shares a connection among its streams at random, a frame at a time.
func newScheduler(let *atomic.Uint64) http2.WriteScheduler { //nolint:staticcheck // see above
	return scheduler{http2.NewRandomWriteScheduler(), let} //nolint:staticcheck // see above
}

func (s scheduler) Pop() (http2.FrameWriteRequest, bool) { //nolint:staticcheck // see above
	wr, ok := s.WriteScheduler.Pop()
	if ok {
		s.let.Add(uint64(wr.DataSize()))
	}
	return wr, ok
}
