package edge

import "sync/atomic"

// Traffic is what has been exchanged with targets since the start, in bytes of payload: up is towards them.
type Traffic struct{ Up, Down int64 }

// traffic counts as bytes move, where the metrics count streams that have ended. It costs an addition a piece; whoever
// wants a rate looks twice.
type traffic struct{ up, down atomic.Int64 }

// Traffic is what has been exchanged so far.
func (e *Edge) Traffic() Traffic {
	return Traffic{Up: e.traffic.up.Load(), Down: e.traffic.down.Load()}
}
