package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestFramesReadBackAsWritten(t *testing.T) {
	var tunnel bytes.Buffer
	for _, e := range examples {
		if m, ok := e.message.(Message); ok {
			if err := Write(&tunnel, m); err != nil {
				t.Fatalf("write %s: %v", e.name, err)
			}
		}
	}
	r, buf := iotest.OneByteReader(&tunnel), []byte(nil)
	for _, e := range examples {
		m, ok := e.message.(Message)
		if !ok {
			continue
		}
		frameType, body, err := ReadFrame(r, buf)
		if err != nil {
			t.Fatalf("read %s: %v", e.name, err)
		}
		if want := m.Append(nil); frameType != m.Type() || !bytes.Equal(body, want) {
			t.Errorf("got frame %s %x, want %s %x", frameType, body, m.Type(), want)
		}
		buf = body
	}
	if _, _, err := ReadFrame(r, buf); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: got %v, want io.EOF", err)
	}
}

// One write a frame lets a lock around the writer keep frames whole.
func TestFrameIsOneWrite(t *testing.T) {
	var w countingWriter
	if err := Write(&w, Body{Data: filled(MaxBodyChunk, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := WriteFrame(&w, TypeBody, filled(MaxFrame, 1)); err != nil {
		t.Fatal(err)
	}
	if w.writes != 2 {
		t.Errorf("got %d writes for 2 frames", w.writes)
	}
}

type countingWriter struct{ writes int }

func (w *countingWriter) Write(p []byte) (int, error) { w.writes++; return len(p), nil }

// E03: the length is judged from the four bytes of the head. The reader holds no
// more than those, so a reader that tried to allocate and fill would see an early
// end instead.
func TestFrameBeyondTheLimitIsRefusedBeforeAllocation(t *testing.T) {
	for _, head := range [][]byte{{byte(TypePage), 1, 0, 0}, {byte(TypeHello), 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}} {
		buf := make([]byte, headerSize)
		r := bytes.NewReader(head)
		allocs := testing.AllocsPerRun(10, func() {
			r.Reset(head)
			if _, body, err := ReadFrame(r, buf); !errors.Is(err, ErrFrameTooLarge) || body != nil {
				t.Fatalf("head %x: got %d bytes and %v, want none and ErrFrameTooLarge", head, len(body), err)
			}
		})
		if allocs > 0 {
			t.Errorf("head %x: got %v allocations, want none", head, allocs)
		}
	}
}

func TestFrameBeyondTheLimitIsNotWritten(t *testing.T) {
	var out bytes.Buffer
	if err := WriteFrame(&out, TypeBody, make([]byte, MaxFrame+1)); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("one byte too long: got %v, want ErrFrameTooLarge", err)
	}
	urls := make([]string, MaxURLs)
	for i := range urls {
		urls[i] = string(filled(MaxURL, 'u'))
	}
	if err := Write(&out, Batch{URLs: urls}); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("batch of the longest URLs: got %v, want ErrFrameTooLarge", err)
	}
	if out.Len() > 0 {
		t.Errorf("got %d bytes written, want none", out.Len())
	}
}

func TestEveryCutOfAFrameIsAnError(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, examples[0].message.(Message)); err != nil {
		t.Fatal(err)
	}
	frame := out.Bytes()
	for n := 1; n < len(frame); n++ {
		if _, _, err := ReadFrame(bytes.NewReader(frame[:n]), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("first %d of %d bytes: got %v, want io.ErrUnexpectedEOF", n, len(frame), err)
		}
	}
}

// A loop that skips what it does not know needs nothing but the length.
func TestUnknownFrameIsSkippedByLength(t *testing.T) {
	var tunnel bytes.Buffer
	for _, err := range []error{WriteFrame(&tunnel, 0x7f, filled(300, 1)), Write(&tunnel, Done{Stream: 4, Bytes: 5})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	unknown, buf, err := ReadFrame(&tunnel, nil)
	if err != nil || unknown.String() != "unknown frame" {
		t.Fatalf("got %s and %v, want an unknown frame", unknown, err)
	}
	next, _, err := ReadFrame(&tunnel, buf)
	if err != nil || next != TypeDone {
		t.Errorf("after it: got %s and %v, want done", next, err)
	}
}

func TestReadFrameReusesItsBuffer(t *testing.T) {
	frame := append([]byte{byte(TypeBody), 0, 0, 64}, filled(64, 1)...)
	r, buf := bytes.NewReader(frame), make([]byte, 64)
	allocs := testing.AllocsPerRun(10, func() {
		r.Reset(frame)
		if _, _, err := ReadFrame(r, buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("got %v allocations a frame, want none", allocs)
	}
}

func TestWriteReportsTheWriter(t *testing.T) {
	broken := errors.New("pipe broke")
	pr, pw := io.Pipe()
	pr.CloseWithError(broken)
	if err := Write(pw, Done{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
