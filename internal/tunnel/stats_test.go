package tunnel

import (
	"runtime"
	"testing"
)

func TestSessionTellsOfItsPath(t *testing.T) { overEach(t, checkSessionTellsOfItsPath) }

func checkSessionTellsOfItsPath(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	near, far := stream(t, relay, edge)
	go near.Write(make([]byte, 1<<20))
	for got := 0; got < 1<<20; {
		n, err := far.Read(make([]byte, 64<<10))
		if got += n; err != nil {
			t.Fatal(err)
		}
	}
	s := relay.Stats()
	if s.RTT < 0 || s.Lost > s.Sent {
		t.Errorf("Stats = %+v", s)
	}
	if told := via == QUIC || via == TCP && runtime.GOOS == "linux"; told && (s.Sent < 10 || s.MinRTT <= 0 || s.MinRTT > s.RTT && s.RTT > 0 && via == QUIC) {
		t.Errorf("Stats after a MiB = %+v, want at least 10 packets and a round trip", s)
	}
}
