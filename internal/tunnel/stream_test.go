package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"sward/internal/wire"
)

func TestManyStreamsEcho(t *testing.T) { overEach(t, checkManyStreamsEcho) }

func checkManyStreamsEcho(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	go echo(t.Context(), edge)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			st, opened, err := relay.Open(soon(t), target())
			if err != nil {
				t.Error(err)
				return
			}
			defer st.Close()
			if opened.Edge != (wire.ID{1}) {
				t.Errorf("opened names %x", opened.Edge)
			}
			said := bytes.Repeat([]byte{byte(i)}, 100_000)
			go func() {
				st.Write(said)
				st.CloseWrite()
			}()
			if heard, err := io.ReadAll(st); err != nil || !bytes.Equal(heard, said) {
				t.Errorf("stream %d: heard %d bytes, %v, want %d of its own", st.ID(), len(heard), err, len(said))
			}
		})
	}
	wg.Wait()
}

func TestBothSidesOpen(t *testing.T) { overEach(t, checkBothSidesOpen) }

func checkBothSidesOpen(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	go echo(t.Context(), edge)
	go echo(t.Context(), relay)
	ids := map[uint64]bool{edge.control.id(): true}
	for _, s := range []*Session{edge, relay} {
		st, _, err := s.Open(soon(t), wire.Route{}, target())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if ids[st.ID()] {
			t.Errorf("stream id %d is taken", st.ID())
		}
		ids[st.ID()] = true
	}
}

func TestOpenReturnsTheRefusal(t *testing.T) { overEach(t, checkOpenReturnsTheRefusal) }

func checkOpenReturnsTheRefusal(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	answers := []wire.Opened{
		{Code: wire.DestPrivate, Edge: wire.ID{7}, Detail: "10.0.0.1 is private"},
		{Code: wire.CapDay},
	}
	go func() {
		for _, answer := range answers {
			st, err := edge.Accept(t.Context())
			if err != nil {
				return
			}
			wire.ReadFrame(st, nil)
			wire.Write(st, answer)
			st.Close()
		}
	}()
	for _, answer := range answers {
		_, _, err := relay.Open(soon(t), target())
		refusal, ok := errors.AsType[*wire.Error](err)
		if !ok || refusal.Code != answer.Code || refusal.Detail != answer.Detail {
			t.Errorf("got %v, want %s %s", err, answer.Code, answer.Detail)
			continue
		}
		want := answer.Edge
		if want == (wire.ID{}) {
			want = wire.ID(testKey(t, 'e').ID()) // an edge that does not name itself is named
		}
		if refusal.Edge != want {
			t.Errorf("refused by %x, want %x", refusal.Edge, want)
		}
	}
}

func TestOpenWithoutAnswer(t *testing.T) { overEach(t, checkOpenWithoutAnswer) }

func checkOpenWithoutAnswer(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := relay.Open(short, target()); wire.CodeOf(err) != wire.EdgeTimeout {
		t.Errorf("silent edge: got %v, want edge_timeout", err)
	}

	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, _, err := relay.Open(gone, target()); !errors.Is(err, context.Canceled) {
		t.Errorf("caller left: got %v, want context.Canceled", err)
	}

	go func() {
		for {
			st, err := edge.Accept(t.Context())
			if err != nil {
				return
			}
			if _, _, err := wire.ReadFrame(st, nil); err == nil {
				edge.Close(wire.Paused, "the owner paused") // in the middle of an open
				return
			}
		}
	}()
	if _, _, err := relay.Open(soon(t), target()); wire.CodeOf(err) != wire.EdgeGone {
		t.Errorf("edge left: got %v, want edge_gone", err)
	}
	if _, _, err := relay.Open(soon(t), target()); wire.CodeOf(err) != wire.EdgeGone {
		t.Errorf("after the session: got %v, want edge_gone", err)
	}
	<-relay.Done()
	if got := wire.CodeOf(relay.Err()); got != wire.Paused {
		t.Errorf("session ended with %v, want the edge's reason", relay.Err())
	}
}

func TestOpenHostileAnswers(t *testing.T) { overEach(t, checkOpenHostileAnswers) }

func checkOpenHostileAnswers(t *testing.T, via Carrier) {
	endless := bytes.Repeat([]byte{0x7f, 0, 0, 1, 'x'}, maxSkipped+1)
	for name, c := range map[string]struct {
		answer []byte
		end    func(*Stream)
		want   wire.Code
	}{
		"unknown frames first": {append([]byte{0x7f, 0, 0, 3, 'a', 'b', 'c', 0x60, 0, 0, 0}, opened()...), nil, wire.OK},
		"unknown without end":  {endless, nil, wire.ProtocolError},
		"oversized frame":      {[]byte{byte(wire.TypeOpened), 0xff, 0xff, 0xff}, nil, wire.ProtocolError},
		"malformed opened":     {[]byte{byte(wire.TypeOpened), 0, 0, 2, 0, 0}, nil, wire.ProtocolError},
		"end inside a frame":   {opened()[:9], func(st *Stream) { st.CloseWrite() }, wire.EdgeGone},
		"end at once":          {nil, func(st *Stream) { st.CloseWrite() }, wire.EdgeGone},
		"reset":                {nil, (*Stream).Reset, wire.EdgeGone},
		"cut with a code":      {nil, func(st *Stream) { st.Cut(wire.OutOfHours) }, wire.OutOfHours},
	} {
		t.Run(name, func(t *testing.T) {
			edge, relay := pair(t, via)
			go func() {
				st, err := edge.Accept(t.Context())
				if err != nil {
					return
				}
				wire.ReadFrame(st, nil)
				st.Write(c.answer)
				if c.end != nil {
					c.end(st)
				}
			}()
			st, _, err := relay.Open(soon(t), target())
			if got := wire.CodeOf(err); got != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if (st != nil) != (err == nil) {
				t.Errorf("stream %v with error %v", st, err)
			}
			if relay.Err() != nil {
				t.Errorf("one bad stream ended the session: %v", relay.Err())
			}
		})
	}
}

func opened() []byte {
	var b bytes.Buffer
	wire.Write(&b, wire.Opened{})
	return b.Bytes()
}

func TestOpenRefusesWhatCannotBeSent(t *testing.T) { overEach(t, checkOpenRefusesWhatCannotBeSent) }

func checkOpenRefusesWhatCannotBeSent(t *testing.T, via Carrier) {
	_, relay := pair(t, via)
	if _, _, err := relay.Open(soon(t), wire.Open{Host: string(make([]byte, wire.MaxHost+1))}); !errors.Is(err, wire.ErrBounds) {
		t.Errorf("got %v, want ErrBounds", err)
	}
}

func TestOpenBeyondTheLimit(t *testing.T) { overEach(t, checkOpenBeyondTheLimit) }

func checkOpenBeyondTheLimit(t *testing.T, via Carrier) {
	_, relay := pair(t, via) // the edge does not accept
	for range map[Carrier]int{QUIC: maxStreams, TCP: maxTCPStreams, Overlay: maxTCPStreams}[via] {
		if !relay.enter() {
			t.Fatal("draining")
		}
		if _, err := relay.conn.open(); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := relay.Open(soon(t), target())
	refusal, ok := errors.AsType[*wire.Error](err)
	if !ok || refusal.Code != wire.StreamLimit || refusal.Edge != wire.ID(testKey(t, 'e').ID()) {
		t.Errorf("got %v, want stream_limit of the edge", err)
	}
}

func TestStreamEndsEachDirectionAlone(t *testing.T) { overEach(t, checkStreamEndsEachDirectionAlone) }

func checkStreamEndsEachDirectionAlone(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, far := stream(t, relay, edge)
	near.Write([]byte("question"))
	near.CloseWrite()
	if got, err := io.ReadAll(far); string(got) != "question" || err != nil {
		t.Errorf("got %q, %v, want question", got, err)
	}
	far.Write([]byte("answer"))
	far.CloseWrite()
	if got, err := io.ReadAll(near); string(got) != "answer" || err != nil {
		t.Errorf("got %q, %v, want answer", got, err)
	}
}

func TestCutReachesThePeerWithItsCode(t *testing.T) { overEach(t, checkCutReachesThePeerWithItsCode) }

func checkCutReachesThePeerWithItsCode(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, far := stream(t, relay, edge)
	far.Cut(wire.CapMonth)
	_, err := near.Read(make([]byte, 1))
	cut, ok := errors.AsType[*wire.Error](err)
	if !ok || cut.Code != wire.CapMonth || cut.Edge != wire.ID(testKey(t, 'e').ID()) {
		t.Errorf("read: got %v, want cap_month of the edge", err)
	}
	for err = nil; err == nil; { // the write fails when the cut has arrived
		_, err = near.Write([]byte("x"))
	}
	if wire.CodeOf(err) != wire.CapMonth {
		t.Errorf("write: got %v, want cap_month", err)
	}
}

func TestResetIsNotAnEnd(t *testing.T) { overEach(t, checkResetIsNotAnEnd) }

func checkResetIsNotAnEnd(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, far := stream(t, relay, edge)
	far.Write([]byte("half of an ans"))
	io.ReadFull(near, make([]byte, 14))
	far.Reset()
	if _, err := near.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a failure", err)
	}
}

func TestStreamDeadline(t *testing.T) { overEach(t, checkStreamDeadline) }

func checkStreamDeadline(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, _ := stream(t, relay, edge)
	near.SetReadDeadline(time.Unix(1, 0))
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	if near.LocalAddr() == nil || near.RemoteAddr().String() != relay.RemoteAddr().String() {
		t.Errorf("addresses are %v and %v", near.LocalAddr(), near.RemoteAddr())
	}
}

// stream is an opened stream from both of its ends.
func stream(t testing.TB, opener, acceptor *Session) (near, far *Stream) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if far, err = acceptor.Accept(soon(t)); err != nil {
			t.Error(err)
			return
		}
		wire.ReadFrame(far, nil)
		wire.Write(far, wire.Opened{})
	})
	near, _, err := opener.Open(soon(t), target())
	wg.Wait()
	if err != nil || t.Failed() {
		t.Fatal(err)
	}
	return near, far
}
