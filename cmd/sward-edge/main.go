// Command sward-edge is the home agent alone: small, without the index and the SQL database of the hub.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sward/edge/agent"
	"sward/internal/daemon"
)

// Set by the release build.
var (
	version    = "dev"
	invitation = "" // to the network of a build for one
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	daemon.QuietStandardLog()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sward-edge:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sward-edge",
		Short:         "Lend this machine's line to the Sward network, under your own rules",
		Long:          "sward-edge lends this machine's Internet line to the Sward network, under your own rules.\n\nStart with: sward-edge INVITATION\n\nThe first start opens the dashboard in your browser, which asks for your agreement. Nothing is shared before.",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,

		PersistentPreRunE: agent.Confine,
	}
	agent.Start(root, version, invitation)
	return root
}
