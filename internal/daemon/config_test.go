package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// volume reads its own text, as sizes and IDs do.
type volume int64

func (v *volume) UnmarshalText(text []byte) error {
	n, ok := strings.CutSuffix(string(text), "GB")
	if !ok {
		return fmt.Errorf("size %q has no unit", text)
	}
	_, err := fmt.Sscan(n, (*int64)(v))
	return err
}

func (v volume) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%dGB", int64(v)), nil }

type Base struct {
	Name string `yaml:"name"`
}

type caps struct {
	Month  volume        `yaml:"month"`
	Linger time.Duration `yaml:"linger"`
}

type testConfig struct {
	Base    `yaml:",inline"`
	Listen  string           `yaml:"listen"`
	Streams int              `yaml:"streams"`
	Port    uint16           `yaml:"port"`
	Strict  bool             `yaml:"strict"`
	Share   float64          `yaml:"share"`
	Caps    caps             `yaml:"caps"`
	Deny    []string         `yaml:"deny"`
	Relays  []caps           `yaml:"relays"`
	Weights map[string]int   `yaml:"weights"`
	Extra   map[string]*caps `yaml:"extra"`
}

func TestLoadConfigKeepsDefaults(t *testing.T) {
	got := testConfig{Listen: "127.0.0.1:1", Streams: 7, Caps: caps{Month: 5, Linger: time.Minute}, Deny: []string{"a"}}
	err := LoadConfig(configFile(t, "# a comment\nname: n\ncaps:\n  month: 200GB\nport: 443\nstreams:\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := testConfig{Base: Base{"n"}, Listen: "127.0.0.1:1", Streams: 7, Port: 443, Caps: caps{Month: 200, Linger: time.Minute}, Deny: []string{"a"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for _, text := range []string{"", "# nothing here\n", "---\n"} {
		if err := LoadConfig(configFile(t, text), &got); err != nil {
			t.Errorf("config %q: %v", text, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after empty files, want (-), got (+):\n%s", diff)
	}
}

func TestLoadConfigRefusesInOneSentence(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen: x\nstrems: 4\n", ` line 2: key "strems": unknown key`},
		{"caps:\n  month: 1GB\n  day: 1GB\n", ` line 3: key "caps.day": unknown key`},
		{"relays:\n- month: 1GB\n  id: x\n", ` line 3: key "relays[0].id": unknown key`},
		{"streams: 1\nport: 2\nstreams: 2\n", ` line 3: mapping key "streams" already defined at [1:1]`},
		{"weights:\n  a: 1\n  a: 2\n", ` line 3: mapping key "a" already defined at [2:3]`},
		{"streams: many\n", ` line 1: key "streams": want a whole number`},
		{"streams: '5'\n", ` line 1: key "streams": want a whole number`},
		{"streams: 1.5\n", ` line 1: key "streams": want a whole number`},
		{"weights:\n  a: 1.5\n", ` line 2: key "weights.a": want a whole number`},
		{"port: 65536\n", ` line 1: key "port": number out of range for a whole number from 0 to 65535`},
		{"port: -1\n", ` line 1: key "port": number out of range for a whole number from 0 to 65535`},
		{"strict: yes\n", ` line 1: key "strict": want true or false`},
		{"share: lots\n", ` line 1: key "share": want a number`},
		{"deny: 3\n", ` line 1: key "deny": want a list`},
		{"deny:\n- a\n- {b: c}\n", ` line 3: key "deny[1]": want a text`},
		{"caps: 4\n", ` line 1: key "caps": want a block of keys`},
		{"caps:\n  linger: 10\n", ` line 2: key "caps.linger": want a duration such as 90s or 12h`},
		{"caps:\n  linger: soon\n", ` line 2: key "caps.linger": time: invalid duration "soon"`},
		{"caps:\n  month: 20\n", ` line 2: key "caps.month": size "20" has no unit`},
		{"relays:\n- month: 1GB\n- month: 2\n", ` line 3: key "relays[1].month": size "2" has no unit`},
		{"extra:\n  b:\n    month: 2\n", ` line 3: key "extra.b.month": size "2" has no unit`},
		{"listen: x\n---\nlisten: y\n", ` line 3: a second document begins here, and a config is one`},
		{"deny: [\n", ` line 1: sequence end token ']' not found`},
		{"- a\n", ` line 1: want a block of keys`},
	} {
		path := configFile(t, c.text)
		var into testConfig
		err := LoadConfig(path, &into)
		if got, want := fmt.Sprint(err), "config "+path+c.want; got != want {
			t.Errorf("config %q:\n got %s\nwant %s", c.text, got, want)
		}
	}
}

func TestLoadConfigMissingFile(t *testing.T) {
	err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), &testConfig{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("got %v, want fs.ErrNotExist with the file's name", err)
	}
}

func TestLoadConfigBoundsTheFile(t *testing.T) {
	path := configFile(t, strings.Repeat("#\n", configMax/2+1))
	if err := LoadConfig(path, &testConfig{}); err == nil {
		t.Error("a file beyond the bound was read")
	}
}

func TestMarshalConfigRoundTrip(t *testing.T) {
	want := testConfig{Base: Base{"n"}, Listen: "[::1]:80", Streams: 3, Caps: caps{Month: 9, Linger: 90 * time.Second}, Deny: []string{"a b", "#c"}, Relays: []caps{{Month: 1}}, Weights: map[string]int{"x": 1}}
	text, err := MarshalConfig(want)
	if err != nil {
		t.Fatal(err)
	}
	var got testConfig
	if err := LoadConfig(configFile(t, string(text)), &got); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	got.Extra = nil // an empty map in the file
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+) through:\n%s\n%s", text, diff)
	}
}

func TestRewriteConfigKeepsComments(t *testing.T) {
	path := configFile(t, "# mine\nname: n # short\ncaps:\n  # of the provider\n  month: 200GB\ndeny:\n  - a # my bank\n  # from work\n  - b # mail\n  - c\n# end\n")
	link := filepath.Join(t.TempDir(), "edge.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Skip("no links here:", err)
	}
	var c testConfig
	if err := LoadConfig(link, &c); err != nil {
		t.Fatal(err)
	}
	c.Caps.Month, c.Deny = 5, []string{"x", "b"} // a is gone with its comment, and b is at another place
	if err := RewriteConfig(link, c); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# mine\n", "# short\n", "  # of the provider\n  month: 5GB\n", "  - x\n  # from work\n  - b # mail\n", "# end\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "my bank") {
		t.Errorf("a comment stays without what it speaks of:\n%s", text)
	}
	var again testConfig
	if err := LoadConfig(link, &again); err != nil || again.Caps.Month != 5 || len(again.Deny) != 2 {
		t.Errorf("the file says %+v, %v", again, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "edge.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
