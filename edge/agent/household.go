package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
)

func householdCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "household [invite DEVICE | agree | leave]",
		Short: "Share one cap with the other devices of your home",
		Long: "Show which devices call from your address, and which of them share one cap with this one.\n\n" +
			"Two devices share when you have invited on one and agreed on the other. From then on the smallest of their\n" +
			"daily and monthly caps holds for all of them together.",
		Example: "  sward-edge household\n  sward-edge household invite 12D3Koo…   # here\n  sward-edge household agree             # on the other device",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			method, path, form, err := householdAct(args)
			if err != nil {
				return err
			}
			var home accounting.HouseholdAnswer
			if _, err := ask(cmd.Context(), dir, method, path, form, &home); err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(home)
			}
			return printHousehold(cmd.OutOrStdout(), home)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return cmd
}

// householdAct is the request for what the owner typed.
func householdAct(args []string) (method, path string, form url.Values, err error) {
	switch {
	case len(args) == 0:
		return "GET", "/api/household", nil, nil
	case args[0] == accounting.HouseholdInvite && len(args) == 2:
		if _, err := identity.ParseID(args[1]); err != nil {
			return "", "", nil, fmt.Errorf("%.80q is not a device: sward-edge identity shows it there: %w", args[1], err)
		}
		return "POST", "/household", url.Values{"act": {args[0]}, "with": {args[1]}}, nil
	case args[0] == accounting.HouseholdInvite:
		return "", "", nil, fmt.Errorf("invite whom? The devices that call from your address are listed without it")
	case len(args) == 1 && (args[0] == accounting.HouseholdAgree || args[0] == accounting.HouseholdLeave):
		return "POST", "/household", url.Values{"act": {args[0]}}, nil
	}
	return "", "", nil, fmt.Errorf("%q is none of: invite DEVICE, agree, leave", strings.Join(args, " "))
}

func printHousehold(w io.Writer, home accounting.HouseholdAnswer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	switch {
	case home.Name == "":
		fmt.Fprintln(t, "This device shares its caps with no other.")
	case !home.Agreed:
		fmt.Fprintf(t, "%s invites this device to share one cap. Agree with: sward-edge household agree\n", home.From)
	default:
		fmt.Fprintf(t, "together today\t%s\n", edge.Used{Bytes: home.Used.DayBytes, Cap: home.Caps.Day})
		fmt.Fprintf(t, "together this month\t%s\n", edge.Used{Bytes: home.Used.MonthBytes, Cap: home.Caps.Month})
	}
	for _, m := range home.Members {
		state := "shares, " + edge.HumanSize(m.Used.DayBytes) + " today"
		switch {
		case !m.Agreed:
			state = "is invited"
		case !m.Here:
			state += ", not at home since " + m.Seen.Local().Format(clock)
		}
		fmt.Fprintf(t, "device\t%s\t%s\n", m.ID, state)
	}
	for _, id := range home.Near {
		fmt.Fprintf(t, "near\t%s\tcalls from your address; if it is yours: sward-edge household invite %s\n", id, id)
	}
	return t.Flush()
}
