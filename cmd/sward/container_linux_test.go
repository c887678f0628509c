package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// container starts programs as packaging/Containerfile says: in a root with nothing but the program and its volume, as an
// ordinary user, without a terminal or an environment.
type container struct {
	root       string
	entrypoint []string
	command    []string
	user       uint32
}

// newContainer reads the recipe and lays out what it copies.
func newContainer(t *testing.T) container {
	t.Helper()
	recipe, err := os.ReadFile("../../packaging/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(recipe, []byte("\nFROM scratch\n"))
	if last < 0 {
		t.Fatal("the recipe's last stage is not FROM scratch")
	}
	line := func(pattern string) string {
		found := regexp.MustCompile(`(?m)^` + pattern + `$`).FindSubmatch(recipe[last:])
		if found == nil {
			t.Fatalf("the recipe has no line %s", pattern)
		}
		return string(found[1])
	}
	c := container{root: filepath.Join(t.TempDir(), "root")}
	for pattern, words := range map[string]*[]string{`ENTRYPOINT (.+)`: &c.entrypoint, `CMD (.+)`: &c.command} {
		if err := json.Unmarshal([]byte(line(pattern)), words); err != nil {
			t.Fatal(err)
		}
	}
	user := line(`USER (\d+):\d+`)
	if line(`COPY --from=certificates --chown=(\d+:\d+) /data /data`) != user+":"+user || line(`VOLUME (.+)`) != "/data" {
		t.Error("the volume is not the user's")
	}
	uid, err := strconv.ParseUint(user, 10, 32)
	if err != nil || uid == 0 {
		t.Fatalf("the recipe's user is %s", user)
	}
	c.user = uint32(uid)
	data := filepath.Join(c.root, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(c.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, int(c.user), int(c.user)); err != nil {
		t.Fatal(err)
	}
	goBuild := func(args ...string) []byte { // as the Makefile builds it
		build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-ldflags", "-s -w"}, args...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	if cold := bytes.Count(goBuild("-n", "-o", os.DevNull, "../sward-edge"), []byte("/compile -o")); cold > maxCold {
		t.Skipf("skipped: %d packages of the static program are not built yet: make build first", cold)
	}
	goBuild("-o", filepath.Join(c.root, line(`COPY bin/sward-edge (.+)`)), "../sward-edge")
	return c
}

// maxCold is how many packages a test may compile: Sward's own, which takes seconds. With all others it takes a minute.
const maxCold = 100

// run prepares the entry point with the given words after it, or with the recipe's.
func (c container) run(ctx context.Context, args ...string) *exec.Cmd {
	if len(args) == 0 {
		args = c.command
	}
	words := append(c.entrypoint[:len(c.entrypoint):len(c.entrypoint)], args...)
	return &exec.Cmd{
		Path: words[0], Args: words, Dir: "/", Env: []string{"CI=1"}, // not one that is inherited
		SysProcAttr: &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: c.user, Gid: c.user}, Setsid: true},
	}
}

func TestContainerSharesNothingWithoutACode(t *testing.T) { // H09
	if os.Geteuid() != 0 {
		t.Skip("skipped: to change the root directory needs root")
	}
	c := newContainer(t)
	ctx := t.Context()
	said := func(cmd *exec.Cmd) (string, error) {
		// Standard input is nothing: without /dev there is no null device either.
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	addresses := startHubAndRelay(t)
	invitation := sward(t, "owner", "home", addresses.hub, "--dir", addresses.hubDir)

	// Nothing was given: it does not start, and says what is missing.
	if out, err := said(c.run(ctx)); err == nil || !strings.Contains(out, "run init first") {
		t.Errorf("without settings: %v\n%s", err, out)
	}
	// An invitation is no agreement, whatever else is tried.
	for _, more := range [][]string{nil, {"--yes"}, {"--consent-code", "GUESS"}} {
		cmd := c.run(ctx, append([]string{"init", invitation, "--dir", "/data"}, more...)...)
		cmd.Env = append(cmd.Env, "SWARD_CONSENT=yes", "CONSENT_CODE=GUESS", "YES=1")
		cmd.Stdin = strings.NewReader("I agree\n")
		out, err := said(cmd)
		if err == nil || more == nil && !strings.Contains(out, "--consent-code") {
			t.Errorf("init %q: %v\n%s", more, err, out)
		}
	}
	settings := filepath.Join(c.root, "data", "edge.yaml")
	text, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("127.0.0.1:7411"), []byte("127.0.0.1:0"), 1)
	if err := os.WriteFile(settings, text, 0o600); err != nil {
		t.Fatal(err)
	}

	// It starts, shares nothing, and says what it waits for. With a code it shares, without another start.
	edge := c.run(ctx)
	var log logBuffer
	edge.Stdout, edge.Stderr = &log, &log
	if err := edge.Start(); err != nil {
		t.Fatal(err)
	}
	defer edge.Wait()
	defer edge.Process.Signal(syscall.SIGTERM)
	status := func() (string, error) { return said(c.run(ctx, "status", "--dir", "/data")) }
	seen := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !ok(); time.Sleep(glance) {
			if time.Now().After(end) {
				t.Fatalf("%s: not within %s\n%s", what, patience, log.String())
			}
		}
	}
	seen("the word of what is missing", func() bool { return strings.Contains(log.String(), "--consent-code") })
	seen("a status", func() bool { _, err := status(); return err == nil })
	if out, err := status(); err != nil || !strings.Contains(out, "not sharing: the edge's owner has not consented") || strings.Contains(out, "\nrelay ") {
		t.Errorf("before the code: %v\n%s", err, out)
	}
	code := sward(t, "owner", "invite", "--dir", addresses.hubDir)
	if out, err := said(c.run(ctx, "init", "--dir", "/data", "--consent-code", code)); err != nil {
		t.Fatalf("init with a code: %v\n%s", err, out)
	}
	seen("sharing with the relay", func() bool {
		out, err := status()
		return err == nil && regexp.MustCompile(`(?s)^state +sharing\n.*\nrelay +\w{8} `+addresses.tunnel+`, connected`).MatchString(out)
	})
	if out, err := said(c.run(ctx, "init", invitation, "--dir", "/data/again", "--consent-code", code)); err == nil {
		t.Errorf("the code was good twice:\n%s", out)
	}
}

type network struct{ hubDir, hub, tunnel string }

// startHubAndRelay starts both as processes of their own, until the test ends.
func startHubAndRelay(t *testing.T) (n network) {
	t.Helper()
	dir := t.TempDir()
	n.hubDir, n.hub, n.tunnel = filepath.Join(dir, "hub"), freeAddress(t), freeAddress(t)
	relayDir := filepath.Join(dir, "relay")
	id := sward(t, "id", "--dir", n.hubDir)
	background(t, "hub", "--dir", n.hubDir, "--network", "example", "--internal", n.hub, "--api", "127.0.0.1:0", "--search", "127.0.0.1:0")
	answers(t, n.hub)
	sward(t, "admit", sward(t, "id", "--dir", relayDir), "--dir", n.hubDir)
	background(t, "relay", "--dir", relayDir, "--network", "example", "--hub", n.hub, "--hub-id", id, "--tunnel", n.tunnel, "--proxy", "127.0.0.1:0")
	return n
}

// sward runs the program and returns what it prints.
func sward(t *testing.T, args ...string) string {
	t.Helper()
	var complaint strings.Builder
	cmd := exec.CommandContext(t.Context(), "sward", args...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sward %q: %v\n%s", args, err, complaint.String())
	}
	return strings.TrimSpace(string(out))
}

func background(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("sward", args...)
	var log logBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", args[0], log.String())
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func answers(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(glance) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// logBuffer is what a process has written so far.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
