package fetch

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/klauspost/compress/zstd"

	"sward/internal/wire"
)

// Remote is the crawler's end of a crawl stream: it sends the batch and passes each
// page to emit as it arrives, holding the edge back until emit returns. What it passes
// on agrees with the batch and with its attestation; whether the right edge signed
// that is for the caller to verify (Result.Attest, Result.Sig), as is the channel in
// it. An edge that breaks the protocol, lies or stalls is an error, after which the
// stream is of no use; the pages passed on before stand. A batch that the edge ended
// early is its code as a *wire.Error. Batch.Allow stays here. rw stays open.
func Remote(ctx context.Context, rw net.Conn, b Batch, emit func(Result) error) error {
	link, release := newStream(ctx, rw)
	defer release()
	b.MaxBody = orDefault(b.MaxBody, defaultLimit)
	b.Deadline = orDefault(b.Deadline, maxDeadline)
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return fmt.Errorf("make decoder: %w", err)
	}
	defer decoder.Close()
	c := &client{stream: link, batch: b, decoder: decoder, end: time.Now().Add(b.Deadline + streamIdle)}
	err = c.run(emit)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// client is the receiving half of one batch.
type client struct {
	*stream
	batch   Batch
	decoder *zstd.Decoder
	end     time.Time // when the last page is overdue
	got     int       // pages
}

func (c *client) run(emit func(Result) error) error {
	if len(c.batch.Fields) > 0 {
		if err := c.write(wire.Fields{List: c.batch.Fields}); err != nil {
			return fmt.Errorf("send fields of a crawl batch: %w", err)
		}
	}
	if err := c.write(toWireBatch(c.batch)); err != nil {
		return fmt.Errorf("send crawl batch: %w", err)
	}
	for {
		t, body, err := c.next(time.Until(c.end))
		if err != nil {
			return fmt.Errorf("await page %d: %w", c.got, err)
		}
		switch t {
		case wire.TypePage:
			r, err := c.page(body)
			if err != nil {
				return fmt.Errorf("receive page %d: %w", c.got, err)
			}
			c.got++
			if err := emit(r); err != nil {
				return err
			}
		case wire.TypeBatchEnd:
			return c.finish(body)
		default:
			return wire.Errorf(wire.ProtocolError, "a %s stands where a page should", t)
		}
	}
}

// finish checks that no page was kept back.
func (c *client) finish(body []byte) error {
	end, err := wire.ParseBatchEnd(body)
	switch {
	case err != nil:
		return fmt.Errorf("receive end of batch: %w", err)
	case end.Code != wire.OK:
		return wire.Errorf(end.Code, "the edge ended the batch after %d of %d pages", c.got, len(c.batch.URLs))
	case c.got != len(c.batch.URLs) || int(end.Fetched) != c.got:
		return wire.Errorf(wire.ProtocolError, "batch of %d URLs ended after %d pages, %d claimed", len(c.batch.URLs), c.got, end.Fetched)
	}
	return nil
}

// page reads one page with its body, and believes nothing that it can check.
func (c *client) page(frame []byte) (Result, error) {
	page, err := wire.ParsePage(frame)
	if err != nil {
		return Result{}, err
	}
	if int(page.Index) != c.got || c.got >= len(c.batch.URLs) {
		return Result{}, wire.Errorf(wire.ProtocolError, "page has index %d of %d URLs", page.Index, len(c.batch.URLs))
	}
	r := fromWirePage(page)
	if r.Body, err = c.body(); err != nil {
		return Result{}, err
	}
	return r, c.check(r)
}

// check compares a page with what was asked for and with what is signed for it.
func (c *client) check(r Result) error {
	asked, first := c.batch.URLs[r.Index], r.URL
	if len(r.Hops) > 0 {
		first = r.Hops[0]
	}
	if canonical, err := parseURL(asked); first != asked && (err != nil || first != canonical.String()) {
		return wire.Errorf(wire.ProtocolError, "page is of another URL than was asked for")
	}
	if r.Status == 0 {
		if r.Code == wire.OK || len(r.Body)+len(r.Response)+len(r.Attest) > 0 {
			return wire.Errorf(wire.ProtocolError, "page without a status claims an answer")
		}
		return nil
	}
	// Rights stand in the head, and an archive tells head from body by the first empty line.
	if head, rest := cutHead(r.Response); len(head) == 0 || len(rest) > 0 {
		return wire.Errorf(wire.ProtocolError, "page has no head, or more than one")
	}
	signed, err := wire.ParseAttest(r.Attest)
	if err != nil {
		return err
	}
	if signed != attest(c.batch.Job, asked, signed.Channel, r) {
		return wire.Errorf(wire.ProtocolError, "page differs from its attestation")
	}
	return nil
}

// body reads one page's zstd stream to its end.
func (c *client) body() ([]byte, error) {
	// Of what cannot be compressed, zstd makes a little more than it was.
	in := &pieceReader{client: c, left: c.batch.MaxBody + c.batch.MaxBody>>7 + 1<<16}
	if err := in.fill(); err == io.EOF { //nolint:errorlint // wrapped, it is the end of the stream and not of the body
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := c.decoder.Reset(in); err != nil {
		return nil, in.cause(err)
	}
	out := &limited{source: c.decoder, left: c.batch.MaxBody}
	b, err := io.ReadAll(out)
	switch {
	case err != nil:
		return nil, in.cause(err)
	case out.cut:
		return nil, wire.Errorf(wire.ProtocolError, "body is longer than the %d bytes asked for", c.batch.MaxBody)
	}
	return b, nil
}

// pieceReader reads Body frames up to the empty one.
type pieceReader struct {
	client *client
	rest   []byte
	left   int64 // bytes that the pieces may still have
	err    error
}

func (p *pieceReader) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if err := p.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// fill reads the next piece: io.EOF after the last.
func (p *pieceReader) fill() error {
	if p.err != nil {
		return p.err
	}
	t, frame, err := p.client.next(streamIdle)
	switch {
	case err != nil:
		p.err = fmt.Errorf("await body: %w", err)
	case t != wire.TypeBody:
		p.err = wire.Errorf(wire.ProtocolError, "a %s stands inside a body", t)
	case len(frame) == 0:
		p.err = io.EOF
	case len(frame) > wire.MaxBodyChunk:
		p.err = wire.Errorf(wire.ProtocolError, "body frame has %d bytes", len(frame))
	case int64(len(frame)) > p.left:
		p.err = wire.Errorf(wire.ProtocolError, "body frames never end")
	default:
		p.rest, p.left = frame, p.left-int64(len(frame))
	}
	return p.err
}

// cause tells a stream that failed from a body that cannot be decoded.
func (p *pieceReader) cause(err error) error {
	if p.err != nil && p.err != io.EOF { //nolint:errorlint // see body
		return p.err
	}
	return wire.Errorf(wire.ProtocolError, "body is not a zstd stream: %s", err)
}
