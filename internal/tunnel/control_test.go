package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"sward/internal/wire"
)

func TestControlFramesTravelBothWays(t *testing.T) { overEach(t, checkControlFramesTravelBothWays) }

func checkControlFramesTravelBothWays(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	status := wire.Status{Room: 5, Apps: wire.AppsOf(wire.AppCrawl)}
	done := wire.Done{Stream: 4, Bytes: 9}
	if err := errors.Join(edge.Send(status), relay.Send(done)); err != nil {
		t.Fatal(err)
	}
	ty, body, err := relay.Control(soon(t))
	if got, _ := wire.ParseStatus(body); err != nil || ty != wire.TypeStatus || got != status {
		t.Errorf("relay got %s %+v, %v, want %+v", ty, got, err, status)
	}
	ty, body, err = edge.Control(soon(t))
	if got, _ := wire.ParseDone(body); err != nil || ty != wire.TypeDone || got != done {
		t.Errorf("edge got %s %+v, %v, want %+v", ty, got, err, done)
	}
}

func TestControlHandsOutUnknownFrames(t *testing.T) { overEach(t, checkControlHandsOutUnknownFrames) }

func checkControlHandsOutUnknownFrames(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	if err := wire.WriteFrame(edge.control, 0x7f, []byte("from a later version")); err != nil {
		t.Fatal(err)
	}
	edge.Send(wire.Done{Stream: 1})
	if ty, body, err := relay.Control(soon(t)); ty != 0x7f || string(body) != "from a later version" || err != nil {
		t.Errorf("got %v %q, %v", ty, body, err)
	}
	if ty, _, err := relay.Control(soon(t)); ty != wire.TypeDone || err != nil {
		t.Errorf("got %v, %v, want the frame after the unknown one", ty, err)
	}
}

func TestMalformedControlClosesTheSession(t *testing.T) {
	overEach(t, checkMalformedControlClosesTheSession)
}

func checkMalformedControlClosesTheSession(t *testing.T, via Carrier) {
	for name, c := range map[string]struct {
		sent []byte
		end  bool
	}{
		"oversized":             {sent: []byte{byte(wire.TypeStatus), 1, 0, 0}},
		"malformed bye":         {sent: []byte{byte(wire.TypeBye), 0, 0, 1, 9}},
		"end inside a head":     {sent: []byte{byte(wire.TypeStatus), 0}, end: true},
		"end inside a body":     {sent: []byte{byte(wire.TypeStatus), 0, 0, 9, 1, 2}, end: true},
		"largest frame, cut":    {sent: append([]byte{0x7f, 0, 0xff, 0xff}, make([]byte, 1000)...), end: true},
		"oversized unknown one": {sent: []byte{0x7f, 0xff, 0xff, 0xff}},
	} {
		t.Run(name, func(t *testing.T) {
			edge, relay := pair(t, via)
			edge.control.Write(c.sent)
			if c.end {
				edge.control.CloseWrite()
			}
			if ty, _, err := relay.Control(soon(t)); wire.CodeOf(err) != wire.ProtocolError {
				t.Errorf("got %v, %v, want protocol_error", ty, err)
			}
			<-edge.Done()
			if got := wire.CodeOf(edge.Err()); got != wire.ProtocolError {
				t.Errorf("the peer was told %v, want protocol_error", edge.Err())
			}
			if _, _, err := relay.Control(soon(t)); err == nil {
				t.Error("control goes on after the session")
			}
		})
	}
}

func TestHelloMustComeFirst(t *testing.T) { overEach(t, checkHelloMustComeFirst) }

func checkHelloMustComeFirst(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	s, err := dialer(t, edgeConfigOver(t, via)).connect(soon(t), l.Addr().String(), testKey(t, 'r').ID())
	if err != nil {
		t.Fatal(err)
	}
	defer s.end(wire.OK, "")
	if s.control, err = s.conn.open(); err != nil {
		t.Fatal(err)
	}
	s.Send(wire.Status{})
	<-s.Done()
	if got := wire.CodeOf(s.Err()); got != wire.ProtocolError {
		t.Errorf("got %v, want protocol_error", s.Err())
	}
}

// The frame is in pieces, and the reader's context ends between them.
func TestControlGoesOnAfterItsContext(t *testing.T) { overEach(t, checkControlGoesOnAfterItsContext) }

func checkControlGoesOnAfterItsContext(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	var frame bytes.Buffer
	wire.Write(&frame, wire.Status{Room: 5})
	for _, piece := range [][]byte{frame.Bytes()[:2], frame.Bytes()[2:9], nil} {
		edge.control.Write(piece)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if ty, _, err := relay.Control(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v, want the context's end", ty, err)
		}
		cancel()
	}
	edge.control.Write(frame.Bytes()[9:])
	ty, body, err := relay.Control(soon(t))
	if got, _ := wire.ParseStatus(body); ty != wire.TypeStatus || err != nil || got.Room != 5 {
		t.Errorf("got %v %+v, %v, want the whole frame", ty, got, err)
	}
}

func TestLargestControlFrame(t *testing.T) { overEach(t, checkLargestControlFrame) }

func checkLargestControlFrame(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	body := bytes.Repeat([]byte("0123456789abcde"), wire.MaxFrame/15)
	go wire.WriteFrame(edge.control, 0x7f, body)
	if ty, got, err := relay.Control(soon(t)); ty != 0x7f || !bytes.Equal(got, body) || err != nil {
		t.Errorf("got %v with %d bytes, %v, want %d", ty, len(got), err, len(body))
	}
}

func TestSendBeyondLimitsHarmsNothing(t *testing.T) { overEach(t, checkSendBeyondLimitsHarmsNothing) }

func checkSendBeyondLimitsHarmsNothing(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	if err := edge.Send(wire.Bye{Detail: string(make([]byte, wire.MaxDetail+1))}); !errors.Is(err, wire.ErrBounds) {
		t.Errorf("got %v, want ErrBounds", err)
	}
	edge.Send(wire.Done{})
	if ty, _, err := relay.Control(soon(t)); ty != wire.TypeDone || err != nil {
		t.Errorf("got %v, %v, want the frame after the refused one", ty, err)
	}
}

func TestDrainFinishesOpenStreams(t *testing.T) { overEach(t, checkDrainFinishesOpenStreams) }

func checkDrainFinishesOpenStreams(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, far := stream(t, relay, edge)
	if err := edge.Drain(wire.Draining, "good night"); err != nil {
		t.Fatal(err)
	}
	if !edge.Draining() {
		t.Error("edge does not say that it drains")
	}

	// A stream that the relay opened before it heard the Bye.
	go edge.Accept(t.Context())
	if _, _, err := relay.Open(soon(t), target()); wire.CodeOf(err) != wire.Draining {
		t.Errorf("open that crossed the bye: got %v, want draining", err)
	}

	ty, body, err := relay.Control(soon(t))
	if bye, _ := wire.ParseBye(body); ty != wire.TypeBye || err != nil || bye.Detail != "good night" {
		t.Fatalf("got %v %+v, %v, want the bye", ty, bye, err)
	}
	if !relay.Draining() {
		t.Error("relay does not say that it drains")
	}
	for _, s := range []*Session{edge, relay} {
		if _, _, err := s.Open(soon(t), target()); wire.CodeOf(err) != wire.Draining {
			t.Errorf("open after bye: got %v, want draining", err)
		}
	}

	// The running stream is as it was, and holds the session.
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := edge.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with a running stream: got %v", err)
	}
	relayed := make(chan error, 1)
	go func() {
		_, _, err := relay.Control(soon(t)) // to the end
		relayed <- err
	}()
	tail := bytes.Repeat([]byte("tail"), 250_000)
	go func() {
		far.Write(tail)
		far.Close()
		if err := edge.Wait(soon(t)); err != nil {
			t.Errorf("wait: %v", err)
		}
		edge.Close(wire.Draining, "good night")
	}()
	if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, tail) {
		t.Errorf("read %d bytes of the tail, %v, want %d: the close overtook them", len(got), err, len(tail))
	}
	near.Close()
	if err := <-relayed; !errors.Is(err, io.EOF) {
		t.Errorf("control ended with %v, want io.EOF", err)
	}
	<-edge.Done()
	<-relay.Done()
}

func TestWaitEndsWithTheSession(t *testing.T) { overEach(t, checkWaitEndsWithTheSession) }

func checkWaitEndsWithTheSession(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	go relay.Close(wire.NoConsent, "the terms have changed")
	if err := edge.Wait(soon(t)); wire.CodeOf(err) != wire.NoConsent {
		t.Errorf("got %v, want no_consent", err)
	}
	if _, err := edge.Accept(soon(t)); wire.CodeOf(err) != wire.NoConsent {
		t.Errorf("accept: got %v, want no_consent", err)
	}
}

func TestListenerCloseEndsSessions(t *testing.T) { overEach(t, checkListenerCloseEndsSessions) }

func checkListenerCloseEndsSessions(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	go func() {
		if s, _, err := l.Accept(soon(t)); err == nil {
			s.Send(wire.Welcome{Version: wire.Version})
		}
	}()
	edge, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-edge.Done()
	if got := wire.CodeOf(edge.Err()); got != wire.Draining {
		t.Errorf("got %v, want draining", edge.Err())
	}
	if _, _, err := l.Accept(soon(t)); err == nil {
		t.Error("a closed listener accepts")
	}
}
