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
	"sward/internal/daemon"
)

// version is set by the release build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	daemon.QuietStandardLog()
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
	lend := family("edge", "Lend this machine's line (the same as sward-edge)", agent.Commands(version)...)
	lend.PersistentPreRunE = agent.Confine
	root.AddCommand(
		sandboxCommand(), hubCommand(), relayCommand(),
		lend,
		idCommand(), admitCommand(), partnerCommand(), ownerCommand(), listCommand(), auditCommand(), crawlCommand(), warcCommand(), verifyCommand(),
	)
	return root
}

// family is a command that only has others below it. Alone it shows them; a word that is none of them is an error,
// which cobra makes of it for the root only.
func family(name, short string, members ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(members...)
	return cmd
}

// exactly wants n arguments, and otherwise says which.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%d arguments where %d are wanted: %s", len(args), n, cmd.UseLine())
		}
		return nil
	}
}
