// Package agent is the home agent's commands: what its owner types. sward-edge wears them as they are, and sward as
// "sward edge". Each is a page of wiring between the owner's terminal, the state directory and package edge, which decides
// everything.
//
// The directory holds what the owner has: edge.yaml (their rules), key (who the edge is), consent.json (what they agreed
// to), and the state of a running edge. A running edge is found through control.json in it.
package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sward/accounting"
	"sward/edge"
	"sward/edge/install"
	"sward/internal/identity"
)

const (
	configFile = edge.SettingsFile
	keyFile    = edge.KeyFile
)

// Commands are the home agent's commands for a program of the given version.
func Commands(version string) []*cobra.Command {
	return []*cobra.Command{
		initCommand(), runCommand(version),
		statusCommand(), dashboardCommand(), logCommand(), earningsCommand(), receiptCommand(), whyCommand(), askCommand(), doctorCommand(),
		pauseCommand(), resumeCommand(), householdCommand(),
		installCommand(), uninstallCommand(), statementCommand(),
		identityCommand(), versionCommand(version),
	}
}

// dirFlag adds --dir. Its default is the system's place for a user's configuration, or the service's, where this user may
// see it and has no edge of their own.
func dirFlag(cmd *cobra.Command, dir *string) {
	base, err := os.UserConfigDir()
	if err != nil {
		base = "."
	}
	own := filepath.Join(base, "sward-edge")
	if !hasSettings(own) && hasSettings(install.SystemDir()) {
		own = install.SystemDir()
	}
	cmd.Flags().StringVar(dir, "dir", own, "directory of the edge's settings and state")
}

func hasSettings(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, configFile))
	return dir != "" && err == nil
}

// load reads the settings in dir over the defaults. Without a file the error says what to do.
func load(dir string) (edge.FileConfig, error) {
	path := filepath.Join(dir, configFile)
	c, err := edge.ReadSettings(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is missing: run init first: %w", path, fs.ErrNotExist)
	}
	return c, err
}

// hubClient speaks to the network's hub as this edge.
func hubClient(c edge.FileConfig, key identity.Key) *accounting.Client {
	return &accounting.Client{Addr: c.Hub.Addr, Network: c.Network, Hub: c.Hub.ID, Key: key}
}

func identityCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Show who this edge is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := identity.LoadKey(filepath.Join(dir, keyFile))
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("this edge has no identity yet: run init first: %w", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.ID())
			return nil
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

func versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the program's version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	}
}
