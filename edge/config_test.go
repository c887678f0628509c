package edge

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"sward/internal/identity"
	"sward/policy"
)

func cause(ctx context.Context) error { return context.Cause(ctx) }

func TestConfigReadsBackAsWritten(t *testing.T) {
	c := DefaultFileConfig()
	c.Hub = Hub{Addr: "hub.example:7400", ID: mustKey(t).ID()}
	c.Relays = []Relay{{ID: mustKey(t).ID(), Addr: "relay.example:4433"}}
	c.Policy.Hours = map[string]string{"mon": "22:00-07:00"}
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back FileConfig
	if err := yaml.UnmarshalWithOptions(text, &back, yaml.Strict()); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(c, back); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(text), "month: 200GB") {
		t.Errorf("sizes are not written for people:\n%s", text)
	}
	if err := back.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesTheKey(t *testing.T) {
	for want, change := range map[string]func(*FileConfig){
		"network":             func(c *FileConfig) { c.Network = "a/b" },
		"hub.id":              func(c *FileConfig) { c.Hub.ID = identity.ID{} },
		"hub.addr":            func(c *FileConfig) { c.Hub.Addr = "hub" },
		"relays[0].id":        func(c *FileConfig) { c.Relays = []Relay{{Addr: "a:1"}} },
		"relays[0].addr":      func(c *FileConfig) { c.Relays = []Relay{{ID: mustKey(t).ID()}} },
		"relays: 17":          func(c *FileConfig) { c.Relays = make([]Relay, 17) },
		"caps: -1":            func(c *FileConfig) { c.Caps.MonthUp = -1 },
		"caps.billing_day":    func(c *FileConfig) { c.Caps.BillingDay = 32 },
		"caps.time_zone":      func(c *FileConfig) { c.Caps.TimeZone = "Europe/Atlantis" },
		"caps.time_zone: \"L": func(c *FileConfig) { c.Caps.TimeZone = "Local" },
		"rate":                func(c *FileConfig) { c.Rate.Up = -1 },
		"streams":             func(c *FileConfig) { c.Streams = 0 },
		"yield: 401ms":        func(c *FileConfig) { c.Yield = 401 * time.Millisecond },
		"yield: -1s":          func(c *FileConfig) { c.Yield = -time.Second },
		"policy.ports[0]":     func(c *FileConfig) { c.Policy.Ports = []uint16{25} },
		"policy.hours":        func(c *FileConfig) { c.Policy.Hours = map[string]string{"x": ""} },
		"dashboard: \"0.0.0.": func(c *FileConfig) { c.Dashboard = "0.0.0.0:1" },
		"dashboard: \"[::]":   func(c *FileConfig) { c.Dashboard = "[::]:1" },
		"dashboard: \"local":  func(c *FileConfig) { c.Dashboard = "localhost:1" },
	} {
		c := DefaultFileConfig()
		c.Hub = Hub{Addr: "hub.example:7400", ID: mustKey(t).ID()}
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want an error that starts with %s", err, want)
		}
	}
}

func TestNewRefusesAnIncompleteWorld(t *testing.T) {
	good := Config{Key: mustKey(t), Network: "test", HubID: mustKey(t).ID(), Hub: &testHub{}, Dir: t.TempDir(), Settings: testSettings()}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"no key":             func(c *Config) { c.Key = identity.Key{} },
		"no hub":             func(c *Config) { c.Hub = nil },
		"no state directory": func(c *Config) { c.Dir = "" },
		"streams":            func(c *Config) { c.Settings.Streams = -1 },
		"network":            func(c *Config) { c.Network = "" },
		"policy.apps[0]":     func(c *Config) { c.Settings.Policy.Apps = []policy.App{"x"} },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestEdgesSpreadOverRelaysAndStay(t *testing.T) {
	var all []Relay
	for range 10 {
		all = append(all, Relay{ID: mustKey(t).ID()})
	}
	count := map[identity.ID]int{}
	for range 300 {
		edge := mustKey(t).ID()
		chosen := chooseRelays(edge, all)
		if len(chosen) != MaxRelays {
			t.Fatalf("chose %d relays, want %d", len(chosen), MaxRelays)
		}
		if diff := cmp.Diff(chosen, chooseRelays(edge, slices.Concat(all[5:], all[:5]))); diff != "" {
			t.Fatalf("the order of the directory changes the choice: %s", diff)
		}
		for _, r := range chosen {
			count[r.ID]++
		}
	}
	for _, r := range all {
		if n := count[r.ID]; n < 60 || n > 180 { // 120 on average
			t.Errorf("a relay was chosen by %d of 300 edges, want about 120", n)
		}
	}
}
