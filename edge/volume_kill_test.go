package edge

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sward/policy"
)

// killDir tells a copy of this test program to be the edge that is killed, and where its count is.
const killDir = "SWARD_TEST_VOLUME_TO_KILL"

// killCaps are small enough that a few kills reach them, and large enough for several leases.
var killCaps = policy.Caps{Day: 64 << 20}

// TestTheEdgeThatIsKilled moves bytes through eight streams and tells each piece when it has moved, until somebody kills it.
func TestTheEdgeThatIsKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("the other half of TestKillForgetsNoByte")
	}
	v := mustVolume(t, dir, killCaps, fixed(noon))
	lines := make(chan int)
	for i := range 8 {
		way := policy.Way(i % 2) //nolint:gosec // 0 or 1
		go func() {
			for {
				r, err := v.reserve(way, 8<<10)
				if err != nil {
					lines <- 0
					return
				}
				lines <- r.n // told before anything else, so that the test knows of no more than moved
				time.Sleep(time.Millisecond)
			}
		}()
	}
	for n := range lines {
		if fmt.Println("moved", n); n == 0 {
			return // the cap is reached: not closed either
		}
	}
}

// H03: an edge that is killed again and again, in the middle of its streams, never passes its cap, and what it forgets is on
// the owner's side.
func TestKillForgetsNoByte(t *testing.T) {
	dir := t.TempDir()
	var moved int64
	kills := 0
	for done := false; !done; {
		if kills++; kills > 40 {
			t.Fatalf("after 40 kills %d bytes moved and the cap of %d was not reached", moved, killCaps.Day)
		}
		n, reached := runAndKill(t, dir, time.Duration(20+15*kills)*time.Millisecond)
		moved, done = moved+n, reached
		after := mustVolume(t, dir, killCaps, fixed(noon))
		counted := after.used().day.Total()
		if counted < moved {
			t.Fatalf("after kill %d the file counts %d bytes, %d moved", kills, counted, moved)
		}
		if lost := int64(kills) * 2 * leaseSize; counted > moved+lost {
			t.Fatalf("after kill %d the file counts %d bytes, %d moved: more than a lease was lost by each", kills, counted, moved)
		}
	}
	if moved > killCaps.Day {
		t.Errorf("moved %d bytes over %d kills, cap %d", moved, kills, killCaps.Day)
	}
	t.Logf("cap %d, moved %d over %d kills", killCaps.Day, moved, kills)
}

// runAndKill says how much the edge moved before it was killed, and whether it had reached its cap.
func runAndKill(t *testing.T, dir string, after time.Duration) (moved int64, reached bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheEdgeThatIsKilled$") //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		count, ok := strings.CutPrefix(lines.Text(), "moved ")
		n, err := strconv.Atoi(count)
		if !ok || err != nil {
			continue // what the testing package says
		}
		if moved += int64(n); n == 0 {
			reached = true
			break
		}
		if after > 0 { // from the first byte: starting the program takes long enough by itself
			time.AfterFunc(after, func() { cmd.Process.Kill() }) //nolint:errcheck // it may have ended
			after = 0
		}
	}
	cmd.Process.Kill() //nolint:errcheck // it may have ended
	cmd.Wait()         //nolint:errcheck // killed, as it should be
	return moved, reached
}
