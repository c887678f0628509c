package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/edge/dashboard"
	"sward/internal/daemon"
	"sward/internal/identity"
)

// do runs a command line as a program would.
func do(ctx context.Context, in io.Reader, args ...string) (string, error) {
	var out syncBuffer
	root := &cobra.Command{Use: "sward-edge", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(Commands("1.2.3")...)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(ctx)
	return out.String(), err
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// initArgs start an edge of a network whose hub is not there.
func initArgs(t *testing.T, dir string) []string {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"init", "--dir", dir, "--network", "test", "--hub", "127.0.0.1:1", "--hub-id", key.ID().String(), "--day", "3GB"}
}

func TestInitRefusesToAgreeForTheOwner(t *testing.T) { // H09
	dir := t.TempDir()
	out, err := do(t.Context(), strings.NewReader(edge.ConsentPhrase+"\n"), initArgs(t, dir)...)
	if !errors.Is(err, errNotAgreed) {
		t.Errorf("the phrase through a pipe: got %v, want %v", err, errNotAgreed)
	}
	if !strings.Contains(out, "Before your connection is shared") || !strings.Contains(out, "3GB a day") {
		t.Errorf("init did not show the text with the owner's caps:\n%s", out)
	}
	if agreed, err := edge.Agreed(dir); agreed || err != nil {
		t.Errorf("agreed = %v, %v; want false", agreed, err)
	}
	if _, err := do(t.Context(), nil, append(initArgs(t, dir), "--consent-code", "GUESS")...); err == nil {
		t.Error("a code was taken without the hub's word")
	}
}

func TestOnlyThePhraseAgrees(t *testing.T) {
	for answer, want := range map[string]bool{
		"I agree\n": true, "  i AGREE ": true, "yes\n": false, "y\n": false, "\n": false, "": false,
		"I agree not\n": false, strings.Repeat("x", 10000): false,
	} {
		dir := t.TempDir()
		err := agreeTyped(dir, strings.NewReader(answer), io.Discard)
		if got, _ := edge.Agreed(dir); got != want || (err == nil) != want {
			t.Errorf("%.20q: agreed %v (%v), want %v", answer, got, err, want)
		}
	}
}

func TestInitKeepsWhatTheOwnerWrote(t *testing.T) {
	dir := t.TempDir()
	args := initArgs(t, dir)
	if _, err := do(t.Context(), strings.NewReader(""), args...); !errors.Is(err, errNotAgreed) {
		t.Fatal(err)
	}
	if err := edge.Agree(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	out, err := do(t.Context(), strings.NewReader(""), "init", "--dir", dir, "--month", "50GB")
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Caps.Day != 3e9 || c.Caps.Month != 50e9 || c.Network != "test" {
		t.Errorf("after two inits the settings are %+v", c)
	}
	id, err := do(t.Context(), nil, "identity", "--dir", dir)
	if err != nil || !strings.Contains(out, strings.TrimSpace(id)) {
		t.Errorf("identity says %q (%v), init said %q", id, err, out)
	}
	if version, err := do(t.Context(), nil, "version"); err != nil || version != "1.2.3\n" {
		t.Errorf("version: got %q, %v", version, err)
	}
}

func TestRunNamesWhatIsWrongWithTheSettings(t *testing.T) {
	dir := t.TempDir()
	if _, err := do(t.Context(), nil, "run", "--dir", dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without settings: got %v, want %v", err, os.ErrNotExist)
	}
	if _, err := do(t.Context(), nil, "status", "--dir", dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("status of nothing: got %v, want %v", err, os.ErrNotExist)
	}
	for want, text := range map[string]string{
		"puppies":           "puppies: 1\n",
		"hub.id":            "network: test\n",
		"month":             "caps: {month: lots}\n",
		"policy.ports":      "policy: {ports: [25]}\n",
		"policy.categories": "policy: {categories: {puppies: allow}}\n",
	} {
		if strings.HasPrefix(want, "policy") {
			key, err := identity.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			text += "hub: {addr: \"127.0.0.1:1\", id: " + key.ID().String() + "}\n"
		}
		if err := os.WriteFile(filepath.Join(dir, configFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := do(t.Context(), nil, "run", "--dir", dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), configFile) {
			t.Errorf("%q: got %v, want a sentence with %s and the file", text, err, want)
		}
	}
}

func TestARunningEdgeIsSeenPausedAndResumed(t *testing.T) {
	dir := t.TempDir()
	if _, err := do(t.Context(), strings.NewReader(""), initArgs(t, dir)...); !errors.Is(err, errNotAgreed) {
		t.Fatal(err)
	}
	if err := edge.Agree(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	c, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Dashboard = "127.0.0.1:0"
	c.PauseOn = edge.PauseOn{} // a developer's laptop may run on its battery
	saveConfig(t, dir, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := do(ctx, nil, "run", "--dir", dir, "--log", "debug", "--log-file", filepath.Join(dir, "edge.log"))
		ended <- err
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := dashboard.ReadControl(dir); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the edge does not run: %v", err)
		}
	}
	for _, step := range []struct {
		args []string
		want []string
	}{
		{[]string{"status"}, []string{"not sharing: no relay is connected", "cap 3 GB, used 0.00 GB (0%)", "the hub has not answered", "the command dashboard opens it"}},
		{[]string{"dashboard", "--print"}, []string{"#code=", "works once"}},
		{[]string{"pause"}, []string{"paused, until resume"}},
		{[]string{"status"}, []string{"not sharing: the edge's owner has paused it"}},
		{[]string{"pause", "--for", "2h"}, []string{"paused, until 2"}},
		{[]string{"status", "--json"}, []string{`"paused": true`, `"why": "paused"`}},
		{[]string{"resume"}, []string{"not sharing: no relay is connected"}},
	} {
		out, err := do(t.Context(), nil, append(step.args, "--dir", dir)...)
		if err != nil {
			t.Errorf("%v: %v", step.args, err)
		}
		for _, want := range step.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v does not say %q:\n%s", step.args, want, out)
			}
		}
	}
	if _, err := do(t.Context(), nil, "pause", "--for", "-1h", "--dir", dir); err == nil {
		t.Error("a negative pause was taken")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run ended with: %v", err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "edge.log")); err != nil || !bytes.Contains(log, []byte("level=DEBUG")) {
		t.Errorf("the log file holds %q (%v)", log, err)
	}
	if _, err := do(t.Context(), nil, "status", "--dir", dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("status after the end: got %v, want %v", err, os.ErrNotExist)
	}
}

func saveConfig(t *testing.T, dir string, c edge.FileConfig) {
	t.Helper()
	text, err := daemon.MarshalConfig(c)
	if err == nil {
		err = daemon.WriteFile(filepath.Join(dir, configFile), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
