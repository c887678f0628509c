package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"sward/internal/wire"
)

// acceptEncoding names the codings that decode undoes.
const acceptEncoding = "gzip, br, zstd, deflate"

// maxWindow is the zstd window in bytes that a decoder will allocate: the most that a
// server may use on the web (RFC 9659 §3).
const maxWindow = 8 << 20

var (
	errIdle    = wire.Errorf(wire.FetchTimeout, "the answer stopped in the middle")
	errStacked = errors.New("more than one content coding")
)

// body reads a response's content: one layer of content coding undone, both sides of
// it bounded. It never fails. It ends early, and says why in flags and err, so that
// whoever reads it keeps what has come.
type body struct {
	ctx     context.Context
	source  io.ReadCloser
	coding  string
	wire    *limited // as received, without the transfer coding
	decoder io.Reader
	out     *limited // as decoded, nil before the first Read
	limit   int64    // of out
	flags   uint8
	err     error // of the target, nil when it was cut by our own limits
	ended   bool
}

// newBody wraps source, the content of an answer with the given Content-Encoding.
// Every wait for a piece is bounded by idle; cancel ends the exchange that ctx is of.
func newBody(ctx context.Context, cancel context.CancelCauseFunc, source io.ReadCloser, contentEncoding []string, lim limits) *body {
	watched := &watched{source: source, idle: lim.idle, expire: func() { cancel(errIdle) }}
	b := &body{ctx: ctx, source: source, wire: &limited{source: watched, left: lim.wire}, limit: lim.body}
	b.coding, b.err = contentCoding(contentEncoding)
	return b
}

// contentCoding is the one coding to undo. A coding that is not known stays on, as in
// browsers. A stack of them exists only to multiply a bomb.
func contentCoding(values []string) (string, error) {
	coding := ""
	for name := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" || name == "identity" {
			continue
		}
		if coding != "" {
			return "", errStacked
		}
		coding = name
	}
	return coding, nil
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended || b.err != nil {
		return 0, io.EOF
	}
	if b.out == nil {
		var err error
		if b.decoder, err = decode(b.wire, b.coding); err != nil {
			return 0, b.end(err)
		}
		b.out = &limited{source: b.decoder, left: b.limit}
	}
	n, err := b.out.Read(p)
	if err != nil {
		return n, b.end(err)
	}
	return n, nil
}

// end settles why the body is over. The first cause that holds is the one: a decoder
// that runs dry complains, but what it lacks is what the limit cut off.
func (b *body) end(err error) error {
	b.ended = true
	switch {
	case b.out != nil && b.out.cut:
		b.flags |= wire.PageDecodedTruncated
	case b.wire.cut:
		b.flags |= wire.PageWireTruncated
	case b.ctx.Err() != nil:
		b.flags |= wire.PageTimeTruncated
		b.err = context.Cause(b.ctx)
	case err != io.EOF: //nolint:errorlint // an end is io.EOF itself (io.Reader): one that is wrapped is a cut
		b.err = fmt.Errorf("read body: %w", err)
	}
	return io.EOF
}

func (b *body) Close() error {
	if z, ok := b.decoder.(*zstd.Decoder); ok {
		z.Close()
	}
	return b.source.Close()
}

// decode undoes one coding (RFC 9110 §8.4.1, RFC 8878, RFC 7932). An empty content is
// empty in every coding: servers send one with 204 and the like.
func decode(r io.Reader, coding string) (io.Reader, error) {
	switch coding {
	case "gzip", "x-gzip", "deflate", "br", "zstd":
	default:
		return r, nil
	}
	in := bufio.NewReader(r)
	head, err := in.Peek(2)
	if len(head) == 0 {
		return in, nil
	}
	switch coding {
	case "br":
		return brotli.NewReader(in), nil
	case "zstd":
		return zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	case "deflate":
		// "deflate" is zlib's format, but some servers send the bare stream.
		if err == nil && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
			return zlib.NewReader(in)
		}
		return flate.NewReader(in), nil
	default:
		return gzip.NewReader(in)
	}
}

// limited reads at most left bytes. cut tells that there was more: unlike with
// io.LimitReader, being at the limit and being beyond it are not the same.
type limited struct {
	source io.Reader
	left   int64
	cut    bool
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left > 0 {
		n, err := l.source.Read(p[:min(int64(len(p)), l.left)])
		l.left -= int64(n)
		return n, err
	}
	if l.cut || len(p) == 0 {
		return 0, io.EOF
	}
	n, err := io.ReadFull(l.source, make([]byte, 1))
	if n > 0 {
		l.cut, err = true, io.EOF
	}
	return 0, err
}

// watched calls expire when one read takes longer than idle. It is a timer and not a
// deadline on the connection, which the transport owns.
type watched struct {
	source io.Reader
	idle   time.Duration
	expire func()
	timer  *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	if w.timer == nil {
		w.timer = time.AfterFunc(w.idle, w.expire)
	} else {
		w.timer.Reset(w.idle)
	}
	defer w.timer.Stop()
	return w.source.Read(p)
}
