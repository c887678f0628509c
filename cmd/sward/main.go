// Command sward is every role of a Sward network in one program, the operator's commands, and the sandbox that runs all
// of it in one process. Each command is a page of wiring; what it decides stands in the packages.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sward/edge/agent"
)

// version is set by the release build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sward:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sward",
		Short:         "A peer-to-peer bandwidth and crawling network",
		Long:          "Sward is a peer-to-peer bandwidth and crawling network: every role, the operator's commands and the sandbox.\n\nStart with: sward sandbox --tour",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	edge := &cobra.Command{Use: "edge", Short: "Lend this machine's line (the same as sward-edge)"}
	edge.AddCommand(agent.Commands(version)...)
	root.AddCommand(
		sandboxCommand(), hubCommand(), relayCommand(), edge,
		idCommand(), admitCommand(), partnerCommand(), ownerCommand(), auditCommand(), benchCommand(),
	)
	return root
}
