package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// account is what the kernel has written down of a process.
type account struct {
	at             time.Time
	cpu            time.Duration // user and system, of all threads, to the nanosecond
	switches       int64         // voluntary ones of all threads: each is a sleep that ended
	threads        int
	rss, anonymous int64 // bytes; anonymous is what is not a file's: the heap, the stacks, the runtime's own
}

// accountOf reads /proc. A thread that ended between two readings takes its account with it; those of a Go program stay.
func accountOf(pid int) (a account, err error) {
	a.at = time.Now()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return a, fmt.Errorf("no process %d", pid)
	}
	a.threads = len(tasks)
	for _, task := range tasks {
		text, err := os.ReadFile(filepath.Join(task, "schedstat"))
		if err != nil {
			return a, err
		}
		var onCPU int64
		if _, err := fmt.Sscan(string(text), &onCPU); err != nil {
			return a, fmt.Errorf("%s/schedstat: %w", task, err)
		}
		a.cpu += time.Duration(onCPU)
		switches, err := fields(filepath.Join(task, "status"), "voluntary_ctxt_switches")
		if err != nil {
			return a, err
		}
		a.switches += switches[0]
	}
	memory, err := fields(fmt.Sprintf("/proc/%d/status", pid), "VmRSS", "RssAnon")
	if err != nil {
		return a, err
	}
	a.rss, a.anonymous = memory[0]<<10, memory[1]<<10 // the kernel writes kB and means KiB
	return a, nil
}

// fields reads numbers of a file of lines "Name: number".
func fields(path string, names ...string) ([]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := make([]int64, len(names))
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		for i, want := range names {
			if name != want {
				continue
			}
			if _, err := fmt.Sscan(value, &found[i]); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, name, err)
			}
		}
	}
	return found, lines.Err()
}
