package fetch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"sward/internal/wire"
)

// liar plays an edge against Remote: it reads the batch, then says what talk says. The
// pages of talk are honest until they are changed.
func liar(t *testing.T, b Batch, talk func(net.Conn)) ([]Result, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		if _, _, err := wire.ReadFrame(far, nil); err == nil {
			talk(far)
		}
	}()
	var results []Result
	err := Remote(t.Context(), near, b, func(r Result) error {
		results = append(results, r)
		return nil
	})
	near.Close()
	<-done
	return results, err
}

// honest is a page that Remote accepts as page 0 of batchOfOne, with its body.
func honest() (Result, []byte) {
	r := Result{
		Status: 200, URL: "http://site.example/", Started: time.UnixMilli(1e12),
		Request: []byte("GET / HTTP/1.1\r\n\r\n"), Response: []byte("HTTP/1.1 200 OK\r\n\r\n"), Body: []byte("body"),
	}
	return r, compressed(r.Body)
}

func compressed(b []byte) []byte {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return z.EncodeAll(b, nil)
}

var batchOfOne = Batch{Job: testJob, URLs: []string{"http://site.example/"}, MaxBody: 1 << 20}

// say writes frames, until the other side has heard enough.
func say(w io.Writer, messages ...wire.Message) error {
	for _, m := range messages {
		if err := wire.Write(w, m); err != nil {
			return err
		}
	}
	return nil
}

func TestRemoteBelievesNoLiar(t *testing.T) {
	page := func(change func(*wire.Page)) wire.Page {
		r, _ := honest()
		r.Attest = attest(testJob, batchOfOne.URLs[0], testChannel, r).Append(nil)
		p := toWirePage(r)
		if change != nil {
			change(&p)
		}
		return p
	}
	headed := func(head string) wire.Page {
		r, _ := honest()
		r.Response = []byte(head)
		r.Attest = attest(testJob, batchOfOne.URLs[0], testChannel, r).Append(nil)
		return toWirePage(r)
	}
	signedFor := func(change func(*wire.Attest)) wire.Page {
		return page(func(p *wire.Page) {
			a, err := wire.ParseAttest(p.Attest)
			if err != nil {
				t.Fatal(err)
			}
			change(&a)
			p.Attest = a.Append(nil)
		})
	}
	_, content := honest()
	body, none := wire.Body{Data: content}, wire.Body{}
	end := wire.BatchEnd{Fetched: 1}
	large := compressed(make([]byte, 2<<20))

	cases := []struct {
		name string
		talk []wire.Message
	}{
		{"index beyond the batch", []wire.Message{page(func(p *wire.Page) { p.Index = 1 }), body, none, end}},
		{"page twice", []wire.Message{page(nil), body, none, page(nil), body, none, end}},
		{"another URL", []wire.Message{page(func(p *wire.Page) { p.URL = "http://other.example/" }), body, none, end}},
		{"another start of the chain", []wire.Message{page(func(p *wire.Page) { p.Hops = []string{"http://other.example/"} }), body, none, end}},
		{"another body", []wire.Message{page(nil), wire.Body{Data: compressed([]byte("BODY"))}, none, end}},
		{"half a body", []wire.Message{page(nil), wire.Body{Data: content[:len(content)-2]}, none, end}},
		{"no body", []wire.Message{page(nil), none, end}},
		{"body and then more", []wire.Message{page(nil), body, body, none, end}},
		{"body that is not zstd", []wire.Message{page(nil), wire.Body{Data: []byte("body")}, none, end}},
		{"body of another size", []wire.Message{signedFor(func(a *wire.Attest) { a.BodyLen++ }), body, none, end}},
		{"body beyond the limit", []wire.Message{page(nil), wire.Body{Data: large}, none, end}},
		{"window of 2 GiB", []wire.Message{page(nil), wire.Body{Data: []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0}}, none, end}},
		{"another head", []wire.Message{page(func(p *wire.Page) { p.Response = []byte("HTTP/1.1 200 ok\r\n\r\n") }), body, none, end}},
		{"no head", []wire.Message{headed(""), body, none, end}},
		{"head without an end", []wire.Message{headed("HTTP/1.1 200 OK\r\n"), body, none, end}},
		{"head and a body of its own", []wire.Message{headed("HTTP/1.1 200 OK\r\n\r\nforged\r\n\r\n"), body, none, end}},
		{"another status", []wire.Message{page(func(p *wire.Page) { p.Status = 404 }), body, none, end}},
		{"another time", []wire.Message{page(func(p *wire.Page) { p.Started++ }), body, none, end}},
		{"attestation of another job", []wire.Message{signedFor(func(a *wire.Attest) { a.Job[0]++ }), body, none, end}},
		{"attestation of another URL", []wire.Message{signedFor(func(a *wire.Attest) { a.URLHash[0]++ }), body, none, end}},
		{"no attestation", []wire.Message{page(func(p *wire.Page) { p.Attest = nil }), body, none, end}},
		{"answer without a status", []wire.Message{page(func(p *wire.Page) { p.Status = 0 }), body, none, end}},
		{"success without an answer", []wire.Message{page(func(p *wire.Page) { *p = wire.Page{URL: p.URL} }), none, end}},
		{"page kept back", []wire.Message{wire.BatchEnd{}}},
		{"page invented", []wire.Message{page(nil), body, none, wire.BatchEnd{Fetched: 2}}},
		{"page inside a page", []wire.Message{page(nil), page(nil), body, none, end}},
		{"body without a page", []wire.Message{body, none, end}},
		{"the batch itself", []wire.Message{wire.Batch{}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := liar(t, batchOfOne, func(conn net.Conn) { say(conn, c.talk...) })
				if code := wire.CodeOf(err); code != wire.ProtocolError {
					t.Errorf("Remote = %d pages, %v, want protocol_error", len(got), err)
				}
			})
		})
	}

	t.Run("the truth", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got, err := liar(t, batchOfOne, func(c net.Conn) { say(c, page(nil), body, none, end) })
			if err != nil || len(got) != 1 || string(got[0].Body) != "body" {
				t.Errorf("Remote = %+v, %v, want the page", got, err)
			}
		})
	})
}

func TestRemoteEndsWhatNeverEnds(t *testing.T) {
	r, _ := honest()
	r.Attest = attest(testJob, batchOfOne.URLs[0], testChannel, r).Append(nil)
	page := toWirePage(r)
	repeat := func(conn net.Conn, m wire.Message) {
		for say(conn, m) == nil {
		}
	}
	silence := func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) } // until Remote hangs up
	skippable := make([]byte, wire.MaxBodyChunk)                         // one zstd skippable frame (RFC 8878 §3.1.2)
	binary.LittleEndian.PutUint32(skippable, 0x184d2a50)
	binary.LittleEndian.PutUint32(skippable[4:], wire.MaxBodyChunk-8)
	for name, c := range map[string]struct {
		talk func(net.Conn)
		code wire.Code
		is   []error // any of these; none: whatever it is
		took time.Duration
	}{
		"skippable frames":  {func(c net.Conn) { say(c, page); repeat(c, wire.Body{Data: skippable}) }, wire.ProtocolError, nil, 0},
		"unknown frames":    {func(c net.Conn) { repeat(c, wire.Done{}) }, wire.ProtocolError, nil, 0},
		"silence":           {silence, wire.Internal, []error{os.ErrDeadlineExceeded}, 2*time.Minute + streamIdle},
		"silence in a body": {func(c net.Conn) { say(c, page); silence(c) }, wire.Internal, []error{os.ErrDeadlineExceeded}, streamIdle},
		"hanging up":        {func(c net.Conn) { say(c, page) }, wire.Internal, []error{io.EOF, io.ErrClosedPipe}, 0}, // a pipe says so when the deadline is set
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batchOfOne
				b.Deadline = 2 * time.Minute
				start := time.Now()
				_, err := liar(t, b, c.talk)
				if wire.CodeOf(err) != c.code || c.is != nil && !slices.ContainsFunc(c.is, func(e error) bool { return errors.Is(err, e) }) {
					t.Errorf("Remote = %v, want %v, %v", err, c.code, c.is)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("Remote took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// replay is a connection from which a fixed text is read.
type replay struct {
	net.Conn
	io.Reader
}

func (r replay) Read(b []byte) (int, error)       { return r.Reader.Read(b) }
func (r replay) Write(b []byte) (int, error)      { return len(b), nil }
func (r replay) SetDeadline(time.Time) error      { return nil }
func (r replay) SetReadDeadline(time.Time) error  { return nil }
func (r replay) SetWriteDeadline(time.Time) error { return nil }

func FuzzRemote(f *testing.F) {
	r, content := honest()
	r.Attest = attest(testJob, batchOfOne.URLs[0], testChannel, r).Append(nil)
	var whole bytes.Buffer
	if err := say(&whole, toWirePage(r), wire.Body{Data: content}, wire.Body{}, wire.BatchEnd{Fetched: 1}); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add(wireFrame(wire.TypeBatchEnd, wire.BatchEnd{Code: wire.Paused}.Append(nil)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		pages := 0
		err := Remote(t.Context(), replay{Reader: bytes.NewReader(stream)}, batchOfOne, func(r Result) error {
			pages++
			if int64(len(r.Body)) > batchOfOne.MaxBody {
				t.Errorf("body of %d bytes", len(r.Body))
			}
			return nil
		})
		if err == nil && pages != len(batchOfOne.URLs) {
			t.Errorf("%d pages and no error", pages)
		}
	})
}
