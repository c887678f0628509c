package daemon

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// resident reads a line of /proc/self/status in KiB.
func resident(t *testing.T, name string) (kib int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("memory is measured on Linux")
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			if _, err := fmt.Sscan(value, &kib); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib
}

func TestGiveBackReturnsHeapAndProgram(t *testing.T) {
	const size = 64 << 20
	program, err := os.ReadFile("/proc/self/exe") // it is in the system's cache now
	if err != nil {
		t.Skip("memory is measured on Linux")
	}
	var before, file int
	func() {
		ballast := make([]byte, size)
		for i := range ballast {
			ballast[i] = program[i%len(program)]
		}
		before, file = resident(t, "RssAnon"), resident(t, "RssFile")
		runtime.KeepAlive(ballast)
	}()
	GiveBack()
	if after := resident(t, "RssAnon"); after > before-size/1024*9/10 {
		t.Errorf("%d KiB of heap and stacks, after %d; 64 MiB of them were garbage", after, before)
	}
	if after := resident(t, "RssFile"); after > file*3/4 {
		t.Errorf("%d KiB of the program's file, after %d", after, file)
	}
}
