package agent

import (
	"errors"
	"strings"
	"testing"

	"sward/edge"
	"sward/internal/identity"
)

func TestInvitationSurvivesTheWayToTheResident(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"hub.example:7400", "127.0.0.1:1", "[2001:db8::1]:7400"} {
		want := Invitation{Network: "test", Hub: edge.Hub{Addr: addr, ID: key.ID()}}
		got, err := ParseInvitation("  " + want.String() + "\n")
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", want, got, err, want)
		}
	}
	// As a person would write it, in the other order and without escapes.
	got, err := ParseInvitation("sward:main?hub=" + key.ID().String() + "&at=hub.example:7400")
	if err != nil || got.Network != "main" || got.Hub.Addr != "hub.example:7400" {
		t.Errorf("written by hand: got %+v, %v", got, err)
	}
}

func TestInvitationSaysWhatIsWrongWithIt(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	id := key.ID().String()
	for line, want := range map[string]string{
		"":                                     "not an invitation",
		"https://example.com/":                 "not an invitation",
		"sward:main?hub=" + id:                 "where the hub is", // cut at the shell's &
		"sward:main?at=hub.example:7400":       "names no hub",
		"sward:main?hub=x&at=hub.example:7400": "names no hub",
		"sward:MAIN net?hub=" + id + "&at=h:1": "network",
		"sward:main?hub=%zz":                   "damaged",
		"sward:main?hub=" + id + "&at=" + strings.Repeat("a", maxInvitation): "not an invitation",
	} {
		if _, err := ParseInvitation(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want a sentence with %q", line, err, want)
		}
	}
	browser := "sward:main?hub=" + id + "&relay=" + id + "&at=wss://relay.example/v1/node"
	if _, err := ParseInvitation(browser); !errors.Is(err, errBrowserInvitation) {
		t.Errorf("a browser's invitation: got %v, want %v", err, errBrowserInvitation)
	}
}
