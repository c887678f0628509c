package tunnel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"

	"sward/internal/wire"
)

// The tests of sessions, streams and control run over both carriers; here is what
// is left of the promise that nobody can tell them apart.

func TestStreamsCarryBothWaysAtOnce(t *testing.T) { overEach(t, checkStreamsCarryBothWaysAtOnce) }

func checkStreamsCarryBothWaysAtOnce(t *testing.T, via Carrier) {
	const streams, size = 8, 1 << 20
	edge, relay := pair(t, via)
	var wg sync.WaitGroup
	for i := range streams {
		near, far := stream(t, relay, edge)
		if near.ID() != far.ID() {
			t.Errorf("the ends number the stream %d and %d", near.ID(), far.ID())
		}
		for from, to := range map[*Stream]*Stream{near: far, far: near} {
			said := bytes.Repeat([]byte{byte(i), byte(from.ID()), 7}, size/3)
			wg.Go(func() {
				if n, err := from.Write(said); n != len(said) || err != nil {
					t.Errorf("wrote %d of %d: %v", n, len(said), err)
				}
				from.CloseWrite()
			})
			wg.Go(func() {
				if got, err := io.ReadAll(to); err != nil || sha256.Sum256(got) != sha256.Sum256(said) {
					t.Errorf("read %d bytes, %v, want the %d that were sent", len(got), err, len(said))
				}
			})
		}
	}
	wg.Wait()
}

// What was written before Close arrives, and the peer's writer hears that nobody
// reads, rather than waiting for a window that never opens.
func TestCloseKeepsWhatWasSentAndStopsThePeer(t *testing.T) {
	overEach(t, checkCloseKeepsWhatWasSentAndStopsThePeer)
}

func checkCloseKeepsWhatWasSentAndStopsThePeer(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, far := stream(t, relay, edge)
	said := bytes.Repeat([]byte("last"), 10_000)
	near.Write(said)
	near.Close()
	if got, err := io.ReadAll(far); !bytes.Equal(got, said) || err != nil {
		t.Errorf("read %d bytes, %v, want %d", len(got), err, len(said))
	}
	var err error
	for range 1000 { // far beyond any window
		if _, err = far.Write(make([]byte, 32<<10)); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("32 MiB were written to a stream that nobody reads")
	}
	far.Close()
	again, _ := stream(t, relay, edge) // the session is as it was
	again.Close()
}

// A stream that is not read holds up itself alone.
func TestStalledStreamHoldsUpNoOther(t *testing.T) { overEach(t, checkStalledStreamHoldsUpNoOther) }

func checkStalledStreamHoldsUpNoOther(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	stalled, pours := stream(t, edge, relay)
	go func() {
		for {
			if _, err := pours.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}()
	near, far := stream(t, edge, relay)
	said := bytes.Repeat([]byte("on"), 2<<20)
	go func() {
		far.Write(said)
		far.CloseWrite()
	}()
	if got, err := io.ReadAll(near); len(got) != len(said) || err != nil {
		t.Errorf("beside a stalled stream: read %d bytes, %v, want %d", len(got), err, len(said))
	}
	if err := edge.Send(wire.Status{}); err != nil {
		t.Errorf("control: %v", err)
	}
	stalled.Cut(wire.OK)
}

func TestReasonOfTheEndReachesThePeer(t *testing.T) { overEach(t, checkReasonOfTheEndReachesThePeer) }

func checkReasonOfTheEndReachesThePeer(t *testing.T, via Carrier) {
	for _, c := range []struct {
		code   wire.Code
		detail string
	}{{wire.OK, ""}, {wire.Paused, "the owner paused"}, {wire.ProtocolError, string(bytes.Repeat([]byte("x"), wire.MaxDetail))}} {
		edge, relay := pair(t, via)
		near, _ := stream(t, relay, edge)
		go near.Write(make([]byte, 1<<20)) // the last word is not lost behind what nobody reads
		edge.Close(c.code, c.detail)
		<-relay.Done()
		told, ok := errors.AsType[*wire.Error](relay.Err())
		if !ok || told.Code != c.code || told.Detail != c.detail {
			t.Errorf("%v: peer was told %v", c.code, relay.Err())
		}
		if _, err := near.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a stream of an ended session reads %v, want a failure", err)
		}
	}
}

// A side counts what comes, whatever it is, so that silence can be told from quiet.
func TestProbeIsAnswered(t *testing.T) { overEach(t, checkProbeIsAnswered) }

func checkProbeIsAnswered(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	for range 3 {
		before := relay.Received()
		if err := relay.Probe(wire.Done{}); err != nil {
			t.Fatal(err)
		}
		for ctx := soon(t); relay.Received() == before; {
			if ctx.Err() != nil {
				t.Fatal("a living peer was not heard")
			}
		}
		edge.Control(soon(t))
	}
}

// A line that is so slow that the answer to a probe waits behind what was sent is told from a dead one: its kernel
// acknowledges.
func TestDeliveryOverTCPIsHeard(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell what was delivered")
	}
	edge, relay := pair(t, TCP)
	near, _ := stream(t, relay, edge)
	before := relay.Received()
	if _, err := near.Write(make([]byte, 64<<10)); err != nil { // which the edge does not read
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), keepAlive/2) // until then nobody speaks
	defer cancel()
	for relay.Received() == before {
		if ctx.Err() != nil {
			t.Fatal("64 KiB were delivered, and nothing was heard")
		}
	}
}
