package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/edge/install"
	"sward/internal/daemon"
	"sward/internal/identity"
)

func installCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "install [INVITATION]",
		Short: "Make the edge a service that starts with the machine",
		Long: "Make the edge a service that starts with the machine, under systemd, launchd or Windows. With root on Linux it gets an\n" +
			"account of its own; without, it is a service of this user. It runs without any privilege.\n\n" +
			"Installing agrees to nothing: without the owner's agreement the service shows its dashboard and shares nothing.",
		Example: "  sudo sward-edge install 'sward:main?at=hub.example:7400&hub=HUB-ID'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := install.Here()
			if err != nil {
				return err
			}
			f.invitation, f.dir = strings.Join(args, ""), place.Dir
			if _, err := f.settings(); err != nil {
				return err // before anything is changed
			}
			agreed := false
			err = place.Install(func() error {
				err := initialise(cmd.Context(), f, cmd.InOrStdin(), cmd.OutOrStdout())
				agreed = err == nil
				if errors.Is(err, errNotAgreed) {
					return nil // the service waits for it
				}
				return err
			})
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "\nThe service is installed and starts with the machine.\n")
			if !agreed {
				fmt.Fprintf(out, "It shares nothing until you agree: sward-edge init --dir %s\n", place.Dir)
			}
			if !place.System {
				fmt.Fprint(out, afterLogout)
			}
			return nil
		},
	}
	f.settingFlags(cmd)
	return cmd
}

func uninstallCommand() *cobra.Command {
	var purge, without bool
	var dir, statement string
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the service; with --purge everything else too",
		Long: "Stop and remove the service. Settings, key and records stay, so that installing again goes on where it was.\n\n" +
			"With --purge nothing stays: settings, key, agreement, diary, records, and the service's account. First what was\n" +
			"earned is written to a file: the hub's statement, and the receipts it rests on, signed by both sides.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			place, err := install.Here()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if dir != "" && dir != place.Dir {
				if !purge {
					return errors.New("--dir names an edge that is no service: with --purge it is removed")
				}
				return purgeState(cmd.Context(), dir, statement, without, out)
			}
			packaged := place.State().Packaged
			err = place.Uninstall()
			switch {
			case errors.Is(err, install.ErrNotInstalled) && purge:
				fmt.Fprintln(out, "There was no service to remove.")
			case err != nil:
				return err
			case packaged:
				fmt.Fprintln(out, "The service is stopped. A package brought it: remove that with the system's package manager.")
			default:
				fmt.Fprintln(out, "The service is removed.")
			}
			if !purge {
				fmt.Fprintf(out, "Settings, key and records are still in %s; uninstall --purge removes them.\n", place.Dir)
				return nil
			}
			if err := purgeState(cmd.Context(), place.Dir, statement, without, out); err != nil {
				return err
			}
			if packaged {
				return nil
			}
			return place.Forget()
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of an edge that was no service (default: the service's)")
	cmd.Flags().BoolVar(&purge, "purge", false, "remove settings, key, agreement and records too")
	cmd.Flags().StringVar(&statement, "statement", "", "file for the statement of what was earned (default: sward-edge-statement-DATE.json here)")
	cmd.Flags().BoolVar(&without, "without-statement", false, "remove everything even if the hub cannot be asked what was earned")
	return cmd
}

// purgeState removes all that an edge has in dir, after its owner has a statement of what it earned.
func purgeState(ctx context.Context, dir, statement string, without bool, out io.Writer) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(out, "There is nothing in %s.\n", dir)
		return nil
	}
	if info, err := os.Lstat(filepath.Join(dir, configFile)); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not the directory of an edge: it has no %s", dir, configFile)
	}
	release, err := edge.Occupy(dir)
	if errors.Is(err, daemon.ErrLocked) {
		return fmt.Errorf("an edge is running on %s: stop it first", dir)
	}
	if err != nil {
		return err
	}
	defer release() //nolint:errcheck // the file is gone by then
	if err := takeStatement(ctx, dir, statement, out); err != nil {
		if !without {
			return fmt.Errorf("nothing is removed yet, because what was earned could not be written down: %w\nTry again later, or add --without-statement", err)
		}
		fmt.Fprintf(out, "No statement was written: %v\n", err)
	}
	left, err := edge.Erase(dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("all of the edge is removed; in %s there is something else, which stays: %s", dir, strings.Join(left, ", "))
	}
	fmt.Fprintf(out, "%s is removed.\n", dir)
	return nil
}

// takeStatement writes down what was earned, unless this edge never was anybody.
func takeStatement(ctx context.Context, dir, path string, out io.Writer) error {
	if _, err := os.Stat(filepath.Join(dir, keyFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if agreed, err := edge.Agreed(dir); err == nil && !agreed {
		if _, err := os.Stat(filepath.Join(dir, "receipts")); errors.Is(err, fs.ErrNotExist) {
			return nil // it never shared
		}
	}
	f, err := farewell(ctx, dir)
	if err != nil {
		return err
	}
	if path == "" {
		path = "sward-edge-statement-" + time.Now().Format(time.DateOnly) + ".json"
	}
	if err := f.Write(path); err != nil {
		return err
	}
	fmt.Fprintf(out, "Earned: %s points. The statement is in %s.\n", f.Statement.Points, path)
	return nil
}

// farewell asks the hub, as the edge in dir.
func farewell(ctx context.Context, dir string) (edge.Farewell, error) {
	c, err := load(dir)
	if err != nil {
		return edge.Farewell{}, err
	}
	key, err := identity.LoadKey(filepath.Join(dir, keyFile))
	if err != nil {
		return edge.Farewell{}, err
	}
	hub := hubClient(c, key)
	defer hub.Close()
	return edge.TakeFarewell(ctx, dir, c.Network, key.ID(), c.Hub.ID, hub)
}
