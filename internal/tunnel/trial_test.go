package tunnel

import (
	"errors"
	"testing"
	"time"

	"sward/internal/identity"
)

func TestTryProvesThePeerAndLeavesNoSession(t *testing.T) { overEach(t, checkTry) }

func checkTry(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	accepted := make(chan *Session, 1)
	go func() {
		for {
			s, hello, err := l.Accept(t.Context())
			if err != nil {
				return
			}
			t.Errorf("a trial introduced itself as %+v", hello)
			accepted <- s
		}
	}()
	got, err := Try(soon(t), edgeConfigOver(t, via), l.Addr().String(), testKey(t, 'r').ID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Elapsed <= 0 || got.Remote.String() != l.Addr().String() {
		t.Errorf("got %+v, want an answer of %s", got, l.Addr())
	}
	if _, err := Try(soon(t), edgeConfigOver(t, via), l.Addr().String(), testKey(t, 'x').ID(), 0); !errors.Is(err, identity.ErrWrongPeer) {
		t.Errorf("somebody else at the address: got %v, want %v", err, identity.ErrWrongPeer)
	}
	select {
	case s := <-accepted:
		s.Close(0, "")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestTryTakesOneCarrierAndASizeThatFits(t *testing.T) {
	for name, size := range map[string]int{"too small": LeastTrial - 1, "too large": LargestTrial + 1, "negative": -1} {
		if _, err := Try(soon(t), edgeConfigOver(t, QUIC), "127.0.0.1:1", testKey(t, 'r').ID(), size); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := Try(soon(t), edgeConfig(t), "127.0.0.1:1", testKey(t, 'r').ID(), 0); err == nil {
		t.Error("a trial of any carrier was made")
	}
}
