package sense

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// bus starts a real D-Bus daemon and returns its address.
func bus(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("dbus-daemon is missing")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	text := fmt.Sprintf(`<busconfig><type>custom</type><listen>unix:path=%s/socket</listen><policy context="default">
		<allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/></policy></busconfig>`, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.CommandContext(t.Context(), "dbus-daemon", "--nofork", "--print-address", "--config-file", config)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill() //nolint:errcheck // it may have ended
		daemon.Wait()         //nolint:errcheck // killed
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

func TestMeteredAsNetworkManagerTellsIt(t *testing.T) {
	n := &networkManager{address: bus(t)}
	defer n.close()
	if f := n.metered(); f.State != Unknown {
		t.Errorf("without NetworkManager: %+v", f)
	}
	conn, err := dbus.Connect(n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	props, err := prop.Export(conn, managerPath, prop.Map{managerName: {"Metered": {Value: uint32(0), Emit: prop.EmitTrue}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(managerName, 0); err != nil {
		t.Fatal(err)
	}
	until := func(what string, want State) {
		t.Helper()
		var f Fact
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if f = n.metered(); f.State == want && (want != Unknown || f != noManager) {
				return
			}
		}
		t.Errorf("%s: %+v, want %s", what, f, want)
	}
	until("it has started", Unknown)
	for _, c := range []struct {
		value uint32
		want  State
	}{{1, Yes}, {2, No}, {3, Yes}, {4, No}, {0, Unknown}, {1, Yes}, {77, Unknown}} {
		props.SetMust(managerName, "Metered", c.value)
		until(fmt.Sprint("value ", c.value), c.want)
	}
	n.mu.Lock()
	fresh := n.fresh
	n.mu.Unlock()
	if !fresh {
		t.Error("a look that follows no change asks again")
	}
	if _, err := conn.ReleaseName(managerName); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); n.metered() != noManager; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after NetworkManager has gone: %+v", n.metered())
		}
	}
}
