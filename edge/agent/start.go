package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sward/edge/dashboard"
	"sward/internal/daemon"
	"sward/internal/identity"
)

// errNotInvited: there are no settings yet, and nothing says which network to join.
var errNotInvited = errors.New("this edge belongs to no network yet: start it once with an invitation, one line between quotes")

// Start makes a program of its own of the commands: alone, without a command, it does what a newcomer wants. It takes an
// invitation, writes the default settings, runs, and opens the dashboard, whose first page asks for agreement. A build
// for one network may have its invitation inside.
func Start(program *cobra.Command, version, invitation string) {
	var f runFlags
	program.Use += " [INVITATION]"
	program.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && !isInvitation(args[0]) {
			return fmt.Errorf("unknown command %q for %q", args[0], cmd.Name())
		}
		return cobra.MaximumNArgs(1)(cmd, args)
	}
	program.RunE = func(cmd *cobra.Command, args []string) error {
		if err := join(cmd, f.dir, strings.Join(args, ""), invitation); err != nil {
			return err
		}
		if shown, err := showRunning(cmd, f.dir); shown || err != nil {
			return err
		}
		f.show = true
		return run(cmd, f, version)
	}
	dirFlag(program, &f.dir)
	program.Flags().StringVar(&f.level, "log", "warn", "log level: debug, info, warn, error")
	program.AddCommand(Commands(version)...)
}

// join writes the settings of a first start. With settings there already, an invitation must be to their network.
func join(cmd *cobra.Command, dir, given, built string) error {
	if hasSettings(dir) {
		if given == "" {
			return nil
		}
		i, err := ParseInvitation(given)
		if err != nil {
			return err
		}
		c, err := load(dir)
		if err == nil && (c.Network != i.Network || c.Hub.ID != i.Hub.ID) {
			err = fmt.Errorf("the edge in %s belongs to network %s: give another one its own --dir", dir, c.Network)
		}
		return err
	}
	line := given
	if line == "" {
		line = built
	}
	if line == "" {
		var err error
		if line, err = askInvitation(cmd.InOrStdin(), cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	f := initFlags{dir: dir, invitation: line}
	c, err := f.settings()
	if err != nil {
		return err
	}
	if err := ownDirectory(dir); err != nil {
		return err
	}
	if _, err := identity.LoadOrCreateKey(filepath.Join(dir, keyFile)); err != nil {
		return err
	}
	text, err := daemon.MarshalConfig(c)
	if err != nil {
		return err
	}
	return daemon.WriteFile(filepath.Join(dir, configFile), text, 0o600)
}

// askInvitation asks the person at the terminal.
func askInvitation(in io.Reader, out io.Writer) (string, error) {
	if !isTerminal(in) {
		return "", errNotInvited
	}
	fmt.Fprint(out, "Paste your invitation (it begins with sward:), or press Enter to leave:\n> ")
	line, err := bufio.NewReader(io.LimitReader(in, maxInvitation+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the invitation: %w", err)
	}
	if strings.TrimSpace(line) == "" {
		return "", errNotInvited
	}
	return line, nil
}

// showRunning opens the dashboard of an edge that runs on dir already.
func showRunning(cmd *cobra.Command, dir string) (shown bool, err error) {
	var invited dashboard.Invitation
	_, err = ask(cmd.Context(), dir, "POST", "/code", nil, &invited)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNoAnswer) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "This edge is running.")
	showDashboard(cmd.Context(), cmd.OutOrStdout(), invited.URL)
	return true, nil
}

// showDashboard opens the owner's browser, or says where to go. The address has a code in it that works once.
func showDashboard(ctx context.Context, out io.Writer, link string) {
	if openBrowser(ctx, link) == nil {
		fmt.Fprintln(out, "The dashboard opens in your browser.")
		return
	}
	fmt.Fprintf(out, "Open the dashboard in a browser on this machine: %s\n", link)
}
