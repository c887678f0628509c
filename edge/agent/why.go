package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/edge"
)

func whyCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why",
		Short: "Show why you earned what you earned: what was asked for, and what became of it",
		Long: "Show what was asked of this edge's relays today, how much of it this edge could have had, and what became of the\n" +
			"rest. Numbers after \"about\" are estimates of the relays. The edge must be running.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c edge.Chances
			if _, err := ask(cmd.Context(), dir, "GET", "/api/chances", nil, &c); err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(c)
			}
			return printWhy(cmd.OutOrStdout(), c)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the last month as JSON")
	return cmd
}

func printWhy(w io.Writer, c edge.Chances) error {
	d := c.Today
	if d.Seen == 0 {
		for _, r := range d.Why {
			fmt.Fprintln(w, r.Text)
		}
	} else {
		fmt.Fprintf(w, "Your relays were asked for %d connections on %s. Of these\n", d.Seen, d.Day)
		t := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.AlignRight)
		for _, r := range d.Why {
			about := ""
			if !r.Exact {
				about = "about"
			}
			fmt.Fprintf(t, "%s\t%d\t %s\n", about, r.Count, r.Text)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(w, "%d could have been yours, %d were, and an average line like yours had %d.\n", d.Eligible, d.Won, d.Fair)
	}
	for _, s := range c.Relays {
		fmt.Fprintf(w, "At relay %s you weigh %.0f %% of a line without fault. Lines in your country now: %d.\n", s.Relay.Short(), 100*s.Weight, s.Lines)
	}
	return nil
}
