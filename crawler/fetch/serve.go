package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/klauspost/compress/zstd"

	"sward/internal/wire"
)

// encoderWindow is in bytes. Pages are small, and so are some of the edges.
const encoderWindow = 1 << 20

// Serve is the edge's end of a crawl stream: it reads the batch, fetches it with f and
// streams each page back, attested with sign for channel. allow is the owner's word on
// each URL. The error is nil when the stream came to its end, whatever became of the
// pages. rw stays open.
func Serve(ctx context.Context, rw net.Conn, f *Fetcher, channel [32]byte, sign func(body []byte) []byte, allow func(*url.URL) error) error {
	link, release := newStream(ctx, rw)
	defer release()
	asked, fields, err := readBatch(link)
	if err != nil {
		return fmt.Errorf("read crawl batch: %w", err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(encoderWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("make encoder: %w", err)
	}
	s := &server{stream: link, batch: fromWireBatch(asked), channel: channel, sign: sign, encoder: encoder}
	s.batch.Allow, s.batch.Fields = allow, fields
	if err := s.run(f); err != nil {
		return fmt.Errorf("serve crawl batch: %w", err)
	}
	return nil
}

// readBatch reads what is asked for: one batch, and before it the fields of its requests if there are any.
func readBatch(s *stream) (b wire.Batch, fields []wire.Field, err error) {
	t, body, err := s.next(streamIdle)
	if err == nil && t == wire.TypeFields {
		var m wire.Fields
		if m, err = wire.ParseFields(body); err != nil {
			return b, nil, err
		}
		fields = m.List
		t, body, err = s.next(streamIdle)
	}
	if err != nil {
		return b, nil, err
	}
	if t != wire.TypeBatch {
		return b, nil, wire.Errorf(wire.ProtocolError, "a crawl stream starts with a %s", t)
	}
	b, err = wire.ParseBatch(body)
	return b, fields, err
}

// server is the sending half of one batch.
type server struct {
	*stream
	batch   Batch
	channel [32]byte
	sign    func([]byte) []byte
	encoder *zstd.Encoder
	sent    uint16
}

// run answers the batch. A refused one is told apart here: once pages flow, an error
// is the stream's, and there is nobody left to tell.
func (s *server) run(f *Fetcher) error {
	_, err := f.admit(s.batch)
	if refused, ok := errors.AsType[*wire.Error](err); ok {
		return s.write(wire.BatchEnd{Code: refused.Code})
	}
	if err := f.Fetch(s.ctx, s.batch, s.send); err != nil {
		return err
	}
	return s.write(wire.BatchEnd{Fetched: s.sent})
}

// send writes one page: its frame, its body in pieces, and the empty piece.
func (s *server) send(r Result) error {
	if r.Status != 0 {
		r.Attest = attest(s.batch.Job, s.batch.URLs[r.Index], s.channel, r).Append(nil)
		r.Sig = s.sign(r.Attest)
	}
	if err := s.write(toWirePage(r)); err != nil {
		return err
	}
	if len(r.Body) > 0 {
		s.encoder.Reset(pieceWriter{s.stream})
		if _, err := s.encoder.Write(r.Body); err != nil {
			return fmt.Errorf("send body: %w", err)
		}
		if err := s.encoder.Close(); err != nil {
			return fmt.Errorf("send body: %w", err)
		}
	}
	s.sent++
	return s.write(wire.Body{})
}

// pieceWriter writes Body frames, never an empty one: that would end the page.
type pieceWriter struct{ *stream }

func (w pieceWriter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, wire.MaxBodyChunk)
		if err := w.write(wire.Body{Data: p[sent : sent+n]}); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}
