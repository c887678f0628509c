package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/accounting"
	"sward/policy"
)

// partnerLimits are what partners have who have none of their own, as hub.yaml says it.
type partnerLimits struct {
	Rate    uint32      `yaml:"rate"`
	Burst   uint32      `yaml:"burst"`
	Streams uint32      `yaml:"streams"`
	Day     policy.Size `yaml:"day"` // 0: as far as the balance goes
}

func defaultPartnerLimits() partnerLimits {
	l := accounting.DefaultLimits()
	return partnerLimits{Rate: l.Rate, Burst: l.Burst, Streams: l.Streams, Day: policy.Size(l.Day)}
}

func (l partnerLimits) limits() accounting.Limits {
	return accounting.Limits{Rate: l.Rate, Burst: l.Burst, Streams: l.Streams, Day: uint64(max(l.Day, 0))}
}

// limitCommand sets a partner's limits. What no flag names stays as it is.
func limitCommand(dir *string) *cobra.Command {
	var rate, burst, streams uint32
	var day string
	cmd := &cobra.Command{
		Use:   "limit NAME",
		Short: "Set how fast and how much an account may use the network",
		Long: fmt.Sprintf(`Set an account's limits; what no flag names stays as it is, and 0 is the network's default (%s).

Rate, burst and streams hold at each relay by itself. The daily volume holds over the whole network, from midnight to
midnight UTC. Relays hear of new limits with the account's next grant, within ten minutes.`, limitsLine(accounting.DefaultLimits(), 0)),
		Example: "  sward partner limit acme --rate 50 --burst 100 --streams 500 --day 20GB",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd.Context(), *dir, func(ctx context.Context, client *accounting.Client) error {
				now, err := client.Usage(ctx, args[0])
				if err != nil {
					return err
				}
				l := now.Own
				for flag, field := range map[string]struct{ to, value *uint32 }{
					"rate": {&l.Rate, &rate}, "burst": {&l.Burst, &burst}, "streams": {&l.Streams, &streams},
				} {
					if cmd.Flags().Changed(flag) {
						*field.to = *field.value
					}
				}
				if cmd.Flags().Changed("day") {
					var volume policy.Size
					if err := volume.UnmarshalText([]byte(day)); err != nil {
						return fmt.Errorf("--day: %w", err)
					}
					l.Day = uint64(volume)
				}
				if err := client.SetLimits(ctx, args[0], l); err != nil {
					return err
				}
				return printUsage(ctx, cmd, client, args[0])
			})
		},
	}
	f := cmd.Flags()
	f.Uint32Var(&rate, "rate", 0, "new requests a second, at each relay")
	f.Uint32Var(&burst, "burst", 0, "new requests at once, at each relay")
	f.Uint32Var(&streams, "streams", 0, "connections open at once, at each relay")
	f.StringVar(&day, "day", "", "bytes up and down in a UTC day, over the whole network, like 20GB")
	cmd.MarkFlagsOneRequired("rate", "burst", "streams", "day")
	return cmd
}

// limitsLine is limits in a line, with what was used of the day's volume.
func limitsLine(l accounting.Limits, today uint64) string {
	line := fmt.Sprintf("%d requests/s (burst %d), %d connections, each relay", l.Rate, l.Burst, l.Streams)
	if l.Day > 0 {
		return line + fmt.Sprintf("; %s of %s used today", size(today), policy.Size(l.Day))
	}
	return line + "; no daily volume"
}

func usageCommand(dir *string) *cobra.Command {
	var q accounting.UsageQuery
	cmd := &cobra.Command{
		Use:   "usage NAME",
		Short: "Show an account: balance, limits, use by day, country and kind of target",
		Long: `Show an account: balance, reserves, limits and use by day, which is what was charged.

With --by, --from or --to also what it was for, as the relays counted it.`,
		Example: "  sward partner usage acme --by country,class --from 2026-11-01",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd.Context(), *dir, func(ctx context.Context, client *accounting.Client) error {
				if err := printUsage(ctx, cmd, client, args[0]); err != nil {
					return err
				}
				if f := cmd.Flags(); !f.Changed("by") && !f.Changed("from") && !f.Changed("to") {
					return nil
				}
				q.Name = args[0]
				answer, err := client.UsageBetween(ctx, q)
				if err != nil {
					return err
				}
				return printBreakdown(cmd, answer)
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&q.By, "by", nil, "what to break the use down by: day, country, class")
	f.StringVar(&q.From, "from", "", "first UTC day (default: 30 days before the last)")
	f.StringVar(&q.To, "to", "", "last UTC day (default: today)")
	return cmd
}

func printBreakdown(cmd *cobra.Command, a accounting.UsageAnswer) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "\nfrom %s to %s, billed %s for %s points\n", a.From, a.To, size(a.Billed.Bytes), a.Billed.Micro)
	fmt.Fprintln(w, strings.Join(slices.Concat(a.By, []string{"requests", "refused", "up", "down", "abuse"}), "\t"))
	for _, g := range a.Breakdown {
		for _, field := range a.By {
			fmt.Fprintf(w, "%s\t", map[string]string{"day": g.Day, "country": g.Country, "class": g.Class}[field])
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%d\n", g.Requests, g.Refused, size(g.Up), size(g.Down), g.Abuse)
	}
	return w.Flush()
}
