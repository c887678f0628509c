package tunnel

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTryFindsWhatThePathCarries runs on a thread of its own in a network that has nothing but a loopback interface of
// 1400 bytes: a datagram of 1452 does not fit, and must not be cut in two.
func TestTryFindsWhatThePathCarries(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("skipped: network namespaces need iproute2")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("skipped: no network namespaces here: %v", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up", "mtu", "1400").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
	l := listen(t, relayConfig(t))
	go l.Accept(t.Context()) //nolint:errcheck // nobody introduces himself
	for size, want := range map[int]bool{LeastTrial: true, 1360: true, LargestTrial: false} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := Try(ctx, edgeConfigOver(t, QUIC), l.Addr().String(), testKey(t, 'r').ID(), size)
		cancel()
		if (err == nil) != want {
			t.Errorf("%d bytes through a path of 1400: got %v, want success %v", size, err, want)
		}
	}
}
