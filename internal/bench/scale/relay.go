package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/relay"
)

const (
	// relayEnv asks for the relay instead of the measurement; its value is the address to listen at.
	relayEnv = "SWARD_SCALE_RELAY"
	network  = "scale"
	// stackShrinks is how many collections it takes until a stack that a handshake has grown is as small as it gets: each
	// halves it. An idle program collects by itself every two minutes, which is more than a measurement waits.
	stackShrinks = 4
	// readyWait is how long the relay's process may take to answer.
	readyWait = 30 * time.Second
)

// The keys are no secret: both processes make them from a seed, and a relay that starts again is the same one.
var (
	relayKey = keyOf("relay")
	hubKey   = keyOf("hub")
	consent  = accounting.Hash{'c'}
)

func keyOf(seed string) identity.Key {
	k, err := identity.NewKeyFrom(bytes.NewReader(bytes.Repeat([]byte(seed+"!"), 32)))
	if err != nil {
		panic(err) // the reader has more than a key takes
	}
	return k
}

func asRelay() bool { return os.Getenv(relayEnv) != "" }

// snapshot is what the relay's process says of itself.
type snapshot struct {
	At         time.Time
	Edges      int // with an open channel
	RSS        uint64
	CPU        time.Duration
	Heap       uint64 // bytes of live objects
	Stacks     uint64
	Goroutines int
}

// runRelay is the relay's process: it says where it listens, then answers questions, one a line, until the asker goes.
func runRelay(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var config net.ListenConfig
	udp, err := config.ListenPacket(ctx, "udp", os.Getenv(relayEnv))
	if err != nil {
		return err
	}
	defer udp.Close()
	door, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sward-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := relay.New(relay.Config{
		Key: relayKey, Network: network, PacketConn: udp, Listener: door, Hub: nobodysHub{}, HubID: hubKey.ID(), Dir: dir,
	})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	answers := json.NewEncoder(out)
	if err := answers.Encode(udp.LocalAddr().String()); err != nil {
		return err
	}
	for questions := bufio.NewScanner(in); questions.Scan(); {
		if questions.Text() == "trim" {
			for range stackShrinks {
				debug.FreeOSMemory()
			}
		}
		if path, wanted := strings.CutPrefix(questions.Text(), "heap "); wanted {
			if err := writeHeap(path); err != nil {
				return err
			}
		}
		if err := answers.Encode(lookAtMyself(r)); err != nil {
			return err
		}
	}
	cancel()
	return <-done
}

func lookAtMyself(r *relay.Relay) snapshot {
	s := snapshot{At: time.Now(), Edges: r.Ready(), Goroutines: runtime.NumGoroutine(), CPU: processCPU(), RSS: processRSS()}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap, s.Stacks = m.HeapAlloc, m.StackInuse
	return s
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}

// relayProcess is the other end of that.
type relayProcess struct {
	addr    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

// startRelay starts it at an address of loopback, any for "".
func startRelay(ctx context.Context, addr string) (*relayProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	r := &relayProcess{cmd: exec.CommandContext(ctx, self)} //nolint:gosec // this program
	r.cmd.Env = append(os.Environ(), relayEnv+"="+addr)
	r.cmd.Stderr = os.Stderr
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.answers = json.NewDecoder(out)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	slow := time.AfterFunc(readyWait, r.kill)
	defer slow.Stop()
	if err := r.answers.Decode(&r.addr); err != nil {
		r.kill()
		return nil, fmt.Errorf("the relay did not start: %w", err)
	}
	return r, nil
}

func (r *relayProcess) look() (s snapshot, err error) { return s, r.ask("look", &s) }

// trim is look after what is not needed has gone back to the system.
func (r *relayProcess) trim() (s snapshot, err error) { return s, r.ask("trim", &s) }

// heapProfile lets the relay write what is on its heap, after a collection.
func (r *relayProcess) heapProfile(path string) error {
	var ignored snapshot
	return r.ask("heap "+path, &ignored)
}

func (r *relayProcess) ask(question string, answer *snapshot) error {
	if _, err := fmt.Fprintln(r.in, question); err != nil {
		return err
	}
	return r.answers.Decode(answer)
}

// stop ends the relay in good order.
func (r *relayProcess) stop() {
	r.in.Close()
	slow := time.AfterFunc(readyWait, r.kill)
	defer slow.Stop()
	r.cmd.Wait() //nolint:errcheck // it has ended either way
}

// kill ends it as a crash does.
func (r *relayProcess) kill() {
	r.cmd.Process.Kill() //nolint:errcheck // it has ended either way
}

// crash is kill, and waits.
func (r *relayProcess) crash() {
	r.kill()
	r.cmd.Wait() //nolint:errcheck // it was killed
}

// nobodysHub has no partners, and knows one consent.
type nobodysHub struct{}

var errNobody = errors.New("this hub knows nobody")

func (nobodysHub) Authorise(context.Context, string, string, uint64) (accounting.Allowance, error) {
	return accounting.Allowance{}, errNobody
}

func (nobodysHub) Renew(context.Context, accounting.GrantID, uint64) (accounting.Allowance, error) {
	return accounting.Allowance{}, errNobody
}

func (nobodysHub) Release(context.Context, accounting.GrantID, []accounting.Final) (accounting.Released, error) {
	return accounting.Released{}, errNobody
}

func (nobodysHub) History(context.Context, identity.ID) (accounting.History, error) {
	return accounting.History{}, nil
}

func (nobodysHub) Whereabouts(context.Context, identity.ID) (accounting.Whereabouts, error) {
	return accounting.Whereabouts{}, errors.New("nobody is elsewhere")
}

func (nobodysHub) ReportUsage(context.Context, accounting.UsageReport) error { return nil }

func (nobodysHub) Settle(context.Context, []accounting.SignedChannel, []accounting.SignedReceipt) ([]accounting.Settled, error) {
	return nil, nil
}

func (nobodysHub) Heartbeat(context.Context, accounting.Heartbeat) (accounting.Orders, error) {
	return accounting.Orders{Consents: []accounting.Hash{consent}, Relays: 1}, nil
}
