package agent

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/internal/daemon"
)

func statementCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "statement",
		Short: "Print what was earned with the receipts that prove it, as JSON, to be kept",
		Long: "Print what the hub says this edge has earned, and every receipt that is still here, signed by both sides, as JSON.\n" +
			"With it a claim can be made after the edge is gone. The edge must not be running.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			release, err := edge.Occupy(dir)
			if errors.Is(err, daemon.ErrLocked) {
				return fmt.Errorf("an edge is running on %s: stop it first", dir)
			}
			if err != nil {
				return err
			}
			defer release() //nolint:errcheck // the process ends
			f, err := farewell(cmd.Context(), dir)
			if err != nil {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(f)
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
