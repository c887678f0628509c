package fetch

import (
	"context"
	"crypto/sha256"
	"math"
	"net"
	"net/netip"
	"time"

	"sward/internal/wire"
)

// A crawl stream, after its Opened frame:
//
//	crawler (Remote)               edge (Serve)
//	Fields  ────────────────────▶  if there are any
//	Batch   ────────────────────▶
//	        ◀────────────────────  Page, Body…, empty Body   once per URL, in order
//	        ◀────────────────────  BatchEnd
//
// The edge fetches nothing ahead of what the crawler takes: back-pressure is the
// stream's own.
const (
	streamIdle = 30 * time.Second // for a frame that is due, to arrive or to be taken
	maxUnknown = 64               // frames of types that this version does not know, in one batch
)

// stream is either end of it. Each wait ends with ctx and has a deadline of its own.
type stream struct {
	ctx     context.Context
	conn    net.Conn
	buf     []byte
	unknown int
}

// newStream makes ctx end whatever conn is waiting for. The func undoes that.
func newStream(ctx context.Context, conn net.Conn) (*stream, func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return &stream{ctx: ctx, conn: conn}, func() {
		if stop() {
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// write sends m. The check of ctx comes after the new deadline, which may have
// replaced the one that the end of ctx had set.
func (s *stream) write(m wire.Message) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(streamIdle)); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return wire.Write(s.conn, m)
}

// next is the next frame of a type that crawl streams know, due within wait. Its body
// is good until the next call.
func (s *stream) next(wait time.Duration) (wire.Type, []byte, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, nil, err
	}
	if s.ctx.Err() != nil {
		return 0, nil, context.Cause(s.ctx)
	}
	for {
		t, body, err := wire.ReadFrame(s.conn, s.buf)
		if err != nil {
			return 0, nil, err
		}
		s.buf = body[:0]
		switch t {
		case wire.TypeFields, wire.TypeBatch, wire.TypePage, wire.TypeBody, wire.TypeBatchEnd:
			return t, body, nil
		}
		if s.unknown++; s.unknown > maxUnknown {
			return 0, nil, wire.Errorf(wire.ProtocolError, "more than %d unknown frames", maxUnknown)
		}
	}
}

// attest states what was fetched for a URL as it was asked for.
func attest(job [16]byte, asked string, channel [32]byte, r Result) wire.Attest {
	return wire.Attest{
		Job: job, URLHash: sha256.Sum256([]byte(asked)), Status: uint16(r.Status),
		BodySHA256: sha256.Sum256(r.Body), BodyLen: uint64(len(r.Body)), HeaderDigest: sha256.Sum256(r.Response),
		Time: r.Started.UnixMilli(), Channel: channel,
	}
}

func toWireBatch(b Batch) wire.Batch {
	return wire.Batch{
		Job: b.Job, Delay: to32(b.Delay.Milliseconds()), Deadline: to32(b.Deadline.Milliseconds()),
		MaxWire: to32(b.MaxWire), MaxBody: to32(b.MaxBody), Agent: b.Agent, URLs: b.URLs,
	}
}

func fromWireBatch(b wire.Batch) Batch {
	return Batch{
		Job: b.Job, Delay: fromMillis(b.Delay), Deadline: fromMillis(b.Deadline),
		MaxWire: int64(b.MaxWire), MaxBody: int64(b.MaxBody), Agent: b.Agent, URLs: b.URLs,
	}
}

func toWirePage(r Result) wire.Page {
	p := wire.Page{
		Index: uint16(r.Index), Code: r.Code, Status: uint16(r.Status), Flags: r.Flags,
		Started: r.Started.UnixMilli(), Took: to32(r.Took.Milliseconds()),
		URL: r.URL, Hops: r.Hops, Rule: clip(r.Rule),
		RetryAfter: to32(int64(math.Ceil(r.RetryAfter.Seconds()))), CrawlDelay: to32(r.CrawlDelay.Milliseconds()),
		Request: r.Request, Response: r.Response, Attest: r.Attest,
	}
	if r.Address.IsValid() {
		p.Address = r.Address.As16()
	}
	copy(p.Sig[:], r.Sig)
	return p
}

func fromWirePage(p wire.Page) Result {
	r := Result{
		Index: int(p.Index), Code: p.Code, Status: int(p.Status), Flags: p.Flags,
		Started: time.UnixMilli(p.Started), Took: fromMillis(p.Took),
		URL: p.URL, Hops: p.Hops, Rule: p.Rule,
		RetryAfter: time.Duration(p.RetryAfter) * time.Second, CrawlDelay: fromMillis(p.CrawlDelay),
		Request: p.Request, Response: p.Response,
	}
	if p.Address != [16]byte{} {
		r.Address = netip.AddrFrom16(p.Address).Unmap()
	}
	if len(p.Attest) > 0 {
		r.Attest, r.Sig = p.Attest, p.Sig[:]
	}
	return r
}

func fromMillis(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

// to32 brings a number into the field that carries it.
func to32(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
