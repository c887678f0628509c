package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/edge/doctor"
	"sward/edge/install"
	"sward/internal/identity"
	"sward/internal/portmap"
)

func doctorCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at clock, DNS, network, disk and files, and say what to do",
		Long: "Look at what sharing needs (settings, clock, DNS, the way to each relay over UDP and TCP, packet size, router, disk,\n" +
			"file modes) and say what is wrong and what to do about it. Nothing is changed, and a running edge is not disturbed.\n\n" +
			"The exit code is 0 when nothing stands in the way of sharing.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := examine(cmd.Context(), dir)
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				if err := out.Encode(found); err != nil {
					return err
				}
			} else {
				printFindings(cmd.OutOrStdout(), found)
			}
			return verdict(found)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

// examine looks at the settings, the agreement and the service here, and leaves the rest to package doctor.
func examine(ctx context.Context, dir string) []doctor.Finding {
	cfg := doctor.Config{Dir: dir}
	settings, c, key := examineSettings(dir)
	found := []doctor.Finding{settings}
	if settings.Level == doctor.OK {
		found = append(found, examineConsent(dir))
		hub := hubClient(c, key)
		defer hub.Close()
		cfg.Network, cfg.HubAddr, cfg.Hub, cfg.Edge, cfg.Relays = c.Network, c.Hub.Addr, hub, key.ID(), c.Relays
	}
	running := doctor.Finding{Check: "edge", Level: doctor.Note, Found: "is not running", Do: "Start it with run, or install it as a service."}
	if s, _, err := call(ctx, dir, "GET", "/status", nil); err == nil {
		running = doctor.Finding{Check: "edge", Level: doctor.OK, Found: "is running: " + headline(s)}
		cfg.Router = examineRouter(s.Mapping)
	}
	found = append(found, running, examineService(dir))
	return append(found, doctor.Examine(ctx, cfg)...)
}

// examineRouter says what the running edge has from the router.
func examineRouter(m portmap.State) doctor.Finding {
	f := doctor.Finding{Check: "router", Level: doctor.OK}
	switch {
	case !m.On:
		f.Found = "is left alone: an edge dials out and needs no open port"
	case m.Open && m.Problem == "":
		f.Found = "the port is " + m.String()
	default:
		f.Level, f.Found, f.Do = doctor.Note, "the port is not of use: "+m.Problem, m.Remedy
		if m.Problem == "" {
			f.Found = "the edge is " + m.String()
		}
	}
	return f
}

// examineService says whether the edge starts with the machine.
func examineService(dir string) doctor.Finding {
	f := doctor.Finding{Check: "service", Level: doctor.Note, Found: "is not installed", Do: "If the edge is to start with the machine: sward-edge install."}
	place, err := install.Of(dir)
	if err != nil {
		f.Found, f.Do = "cannot be looked at by this user: "+err.Error(), ""
		return f
	}
	switch state := place.State(); {
	case state.Running:
		f.Level, f.Found, f.Do = doctor.OK, "is installed and runs", ""
	case state.Installed:
		f.Found, f.Do = "is installed, in "+place.Dir, "If it should run and does not, its log says why: on Linux \"journalctl -u sward-edge\", elsewhere edge.log in that directory."
	}
	return f
}

func examineSettings(dir string) (doctor.Finding, edge.FileConfig, identity.Key) {
	f := doctor.Finding{Check: "settings", Level: doctor.Problem}
	c, err := load(dir)
	if err == nil {
		var key identity.Key
		if key, err = identity.LoadKey(filepath.Join(dir, keyFile)); err == nil {
			return doctor.Finding{Check: "settings", Level: doctor.OK, Found: "edge " + key.ID().Short() + " of network " + c.Network + ", in " + dir}, c, key
		}
	}
	f.Found, f.Do = err.Error(), "Correct what the sentence names."
	if errors.Is(err, fs.ErrNotExist) {
		f.Do = "Run init with your invitation. If the edge runs as a service, name its directory with --dir."
	}
	return f, c, identity.Key{}
}

func examineConsent(dir string) doctor.Finding {
	consent, err := edge.ReadConsent(dir)
	if err != nil {
		return doctor.Finding{Check: "consent", Level: doctor.Problem, Found: err.Error(), Do: "Nothing is shared until you agree: run init, or open the dashboard."}
	}
	return doctor.Finding{Check: "consent", Level: doctor.OK, Found: "agreed on " + consent.When.Local().Format(clock)}
}

func printFindings(w io.Writer, found []doctor.Finding) {
	const width = 15 // of the longest name, "relay" and eight characters
	for _, f := range found {
		fmt.Fprintf(w, "%-8s %-*s %s\n", f.Level, width, f.Check, f.Found)
		if f.Do != "" {
			fmt.Fprintf(w, "%s → %s\n", strings.Repeat(" ", 8+1+width-2), f.Do)
		}
	}
}

// verdict counts the problems, for people and for the exit code.
func verdict(found []doctor.Finding) error {
	n := 0
	for _, f := range found {
		if f.Level == doctor.Problem {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return errors.New("one problem stands in the way of sharing")
	}
	return fmt.Errorf("%d problems stand in the way of sharing", n)
}
