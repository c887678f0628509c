package sense

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes files under a root as sysfs has them.
func tree(t *testing.T, files string) string {
	t.Helper()
	root := t.TempDir()
	for line := range strings.Lines(files) {
		path, text, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		path = filepath.Join(root, "sys/class/power_supply", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestBatteryAsTheKernelTellsIt(t *testing.T) {
	for _, c := range []struct {
		machine, files string
		want           State
	}{
		{"a desktop", "", No},
		{"a desktop with a mouse", "hidpp_battery_0/type=Battery\nhidpp_battery_0/scope=Device\nhidpp_battery_0/status=Discharging", No},
		{"a laptop unplugged", "AC/type=Mains\nAC/online=0\nBAT0/type=Battery\nBAT0/status=Discharging\nBAT0/present=1", Yes},
		{"a laptop plugged in", "AC/type=Mains\nAC/online=1\nBAT0/type=Battery\nBAT0/status=Charging", No},
		{"plugged in and still draining", "AC/type=Mains\nAC/online=1\nBAT0/type=Battery\nBAT0/status=Discharging", No},
		{"by USB-C", "ucsi0/type=USB\nucsi0/online=1\nucsi1/type=USB\nucsi1/online=0\nBAT1/type=Battery\nBAT1/status=Not charging", No},
		{"no word from the battery", "AC/type=Mains\nAC/online=0\nBAT0/type=Battery\nBAT0/status=Unknown", Yes},
		{"two batteries, one in use", "AC/type=Mains\nAC/online=0\nBAT0/type=Battery\nBAT0/status=Not charging\nBAT1/type=Battery\nBAT1/status=Discharging", Yes},
		{"an empty bay", "AC/type=Mains\nAC/online=1\nBAT0/type=Battery\nBAT0/present=0", No},
		{"a tablet without a plug in sysfs", "bq27441-0/type=Battery\nbq27441-0/status=Discharging", Yes},
		{"the same at its charger", "bq27441-0/type=Battery\nbq27441-0/status=Full", No},
		{"a server whose mains failed", "ups/type=UPS\nups/status=Discharging", Yes},
	} {
		m := &machine{root: tree(t, c.files)}
		if got := m.battery(); got.State != c.want || got.Text == "" {
			t.Errorf("%s: got %+v, want %s", c.machine, got, c.want)
		}
	}
}

func TestTheHomeLineIsNoVPN(t *testing.T) {
	m := &machine{root: t.TempDir()}
	if m.pppoe() {
		t.Error("a session without the kernel's list of them")
	}
	path := filepath.Join(m.root, "proc/net/pppoe")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	const head = "Id       Address              Device\n"
	for text, want := range map[string]bool{head: false, head + "00000001 aa:bb:cc:dd:ee:ff     eth0\n": true} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := m.pppoe(); got != want {
			t.Errorf("%q: session %v, want %v", text, got, want)
		}
	}
}

func FuzzInfoKind(f *testing.F) {
	f.Add([]byte("\x08\x00\x01\x00tun\x00"))
	f.Add([]byte("\x03\x00\x01\x00"))
	f.Add([]byte("\xff\xff\x01\x00x"))
	f.Fuzz(func(_ *testing.T, b []byte) { infoKind(b) })
}
