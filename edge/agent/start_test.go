package agent

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/internal/identity"
)

func TestFirstStartWritesTheDefaultsOfTheInvitedNetwork(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	home := Invitation{Network: "home", Hub: edge.Hub{Addr: "hub.example:7400", ID: key.ID()}}
	other := Invitation{Network: "other", Hub: home.Hub}
	cmd := &cobra.Command{}
	cmd.SetIn(strings.NewReader(home.String() + "\n")) // not a terminal: nobody is asked
	cmd.SetOut(new(bytes.Buffer))
	dir := filepath.Join(t.TempDir(), "edge")

	if err := join(cmd, dir, "", ""); !errors.Is(err, errNotInvited) || hasSettings(dir) {
		t.Errorf("without an invitation: got %v, want %v", err, errNotInvited)
	}
	if err := join(cmd, dir, "sward:home?at=hub.example:7400", ""); err == nil || hasSettings(dir) {
		t.Errorf("a damaged invitation was taken: %v", err)
	}
	if err := join(cmd, dir, "", home.String()); err != nil { // a build for one network
		t.Fatal(err)
	}
	c, err := load(dir)
	if err != nil || c.Network != "home" || c.Hub != home.Hub || c.Caps != edge.DefaultFileConfig().Caps {
		t.Errorf("after the first start: %+v, %v", c, err)
	}
	if agreed, err := edge.Agreed(dir); agreed || err != nil {
		t.Errorf("agreed = %v, %v: a start agrees to nothing", agreed, err)
	}
	if err := checkDirectory(dir); err != nil {
		t.Error(err)
	}
	if err := join(cmd, dir, home.String(), ""); err != nil {
		t.Errorf("the same invitation again: %v", err)
	}
	if err := join(cmd, dir, other.String(), ""); err == nil || !strings.Contains(err.Error(), "belongs to network home") {
		t.Errorf("another network's invitation: got %v", err)
	}
}
