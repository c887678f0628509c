package homelab

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sward/internal/bench/rig"
)

// Role is what an actor does until ctx ends: it reads what the test says from in, and tells the test what it sees by lines.
// Closing in and the end of ctx are the same.
type Role func(ctx context.Context, args []string, in <-chan string, tell func(format string, args ...any)) error

const (
	// roleVariable names the role of a test program that runs as an actor.
	roleVariable = "SWARD_HOMELAB_ROLE"
	// stopPatience is how long an actor may take to end well.
	stopPatience = 15 * time.Second
	// atOnce is how many tests wait for their labs at the same time: they wait more than they work, whatever the cores.
	atOnce       = "6"
	parallelFlag = "test.parallel"
	// maxTold is how many lines an actor may be ahead of the test.
	maxTold = 1024
)

// Main is for TestMain: it runs the tests, or, in an actor, the role. The result is the exit code.
func Main(m *testing.M, roles map[string]Role) int {
	name := os.Getenv(roleVariable)
	if name == "" {
		flag.Parse()
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == parallelFlag })
		if !given {
			flag.Set(parallelFlag, atOnce) //nolint:errcheck // every test program has the flag
		}
		return m.Run()
	}
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	in := make(chan string, maxTold)
	go func() {
		defer cancel()
		defer close(in)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			in <- lines.Text()
		}
	}()
	var mu sync.Mutex
	tell := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	if err := role(ctx, os.Args[1:], in, tell); err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		return 1
	}
	return 0
}

// Actor is the test program in a role, inside a namespace.
type Actor struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	told chan string
	said bytes.Buffer // stderr; read after over
	over chan struct{}
	err  error // after over
}

// Start starts an actor. It ends with the test, at the latest.
func Start(t testing.TB, s *rig.Space, role string, args ...string) *Actor {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := &Actor{t: t, name: role, told: make(chan string, maxTold), over: make(chan struct{})}
	a.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), exe, args...) // it may end well after the test has
	a.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	a.cmd.Stderr = &a.said
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Do(a.cmd.Start); err != nil {
		t.Fatalf("start %s: %v", role, err)
	}
	go func() {
		defer close(a.over)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			a.told <- lines.Text()
		}
		close(a.told)
		a.err = a.cmd.Wait()
	}()
	t.Cleanup(func() {
		a.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", role, a.said.String())
		}
	})
	return a
}

// Await waits for a line that begins with prefix, passes over others, and returns the rest of it.
func (a *Actor) Await(prefix string, patience time.Duration) string {
	a.t.Helper()
	late := time.After(patience)
	var others []string
	for {
		select {
		case line, ok := <-a.told:
			if rest, found := strings.CutPrefix(line, prefix); ok && found {
				return strings.TrimSpace(rest)
			}
			if !ok {
				<-a.over
				a.t.Fatalf("%s has ended (%v) without saying %q; it said %q\n%s", a.name, a.err, prefix, others, a.said.String())
			}
			others = append(others, line)
		case <-late:
			a.t.Fatalf("%s has not said %q within %s; it said %q", a.name, prefix, patience, others)
		}
	}
}

// Say sends the actor a line.
func (a *Actor) Say(line string) {
	a.t.Helper()
	if _, err := io.WriteString(a.in, line+"\n"); err != nil {
		a.t.Fatalf("%s does not listen: %v", a.name, err)
	}
}

// Stop ends the actor in good order, and fails the test if it does not end so.
func (a *Actor) Stop() {
	a.t.Helper()
	a.in.Close()
	select {
	case <-a.over:
		if a.err != nil {
			a.t.Errorf("%s ended with %v: %s", a.name, a.err, a.said.String())
		}
	case <-time.After(stopPatience):
		a.Kill()
		a.t.Errorf("%s did not stop: %s", a.name, a.said.String())
	}
}

// Kill ends the actor as a crash does.
func (a *Actor) Kill() {
	a.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
	<-a.over
}
