package agent

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
)

type earningsFlags struct {
	dir       string
	receipts  bool
	csv, json bool
}

func earningsCommand() *cobra.Command {
	var f earningsFlags
	cmd := &cobra.Command{
		Use:   "earnings",
		Short: "Show what you have earned, by day, and the receipts it rests on",
		Long: "Show what this edge has earned in the last month, by day (UTC), as the hub's statement says, and what both sides\n" +
			"have signed and the hub has not confirmed. With --receipts, each line under a day names the receipt it rests on:\n" +
			"the receipt command shows it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(f.dir)
			if err != nil {
				return err
			}
			key, err := identity.LoadKey(filepath.Join(f.dir, keyFile))
			if err != nil {
				return err
			}
			hub := hubClient(c, key)
			defer hub.Close()
			e, err := edge.ReadEarnings(cmd.Context(), hub, f.dir, c.Network, key.ID())
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), e)
		},
	}
	dirFlag(cmd, &f.dir)
	cmd.Flags().BoolVar(&f.receipts, "receipts", false, "show under each day the receipts that it rests on")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print CSV, a line for each receipt")
	cmd.Flags().BoolVar(&f.json, "json", false, "print everything as JSON")
	cmd.MarkFlagsMutuallyExclusive("csv", "json", "receipts")
	return cmd
}

func (f earningsFlags) print(w io.Writer, e edge.Earnings) error {
	switch {
	case f.json:
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(e)
	case f.csv:
		return writeEarned(w, e)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	if e.Problem != "" {
		line("hub", "%s", e.Problem)
	}
	if !e.At.IsZero() {
		line("points", "%s at %s", e.Points, e.At.Local().Format(clock))
		line("held", "%s, earned within the last %d days", e.Held, e.HoldDays)
		line("price", "%s for a GiB, of which you get %s", e.Price.GiB, e.Price.Edge)
	}
	if e.Waiting.Receipts > 0 {
		line("waiting", "about %s, for %d bytes in %d receipts that the hub has not confirmed", e.Waiting.Points, e.Waiting.Bytes, e.Waiting.Receipts)
	}
	for _, d := range e.Days {
		held := ""
		if d.Held {
			held = ", held"
		}
		line(d.Day, "%s for %d bytes up, %d down%s", d.Points, d.Up, d.Down, held)
		if !f.receipts {
			continue
		}
		for _, r := range d.Receipts {
			line("  "+r.State, "%s for %d bytes, %s/%d%s", r.Points, r.Up+r.Down, r.Channel, r.Serial, why(r.Why))
		}
	}
	if len(e.Days) == 0 && e.Problem == "" {
		line("days", "none with traffic since %s", e.From)
	}
	if e.Cut {
		line("", "not all receipts fit the hub's answer")
	}
	return t.Flush()
}

func why(rule string) string {
	if rule == "" {
		return ""
	}
	return ": " + rule
}

// writeEarned writes a line for each receipt. No field can be taken for a formula by a spreadsheet: all are numbers, dates,
// identifiers and words of ours.
func writeEarned(w io.Writer, e edge.Earnings) error {
	out := csv.NewWriter(w)
	records := [][]string{{"day", "state", "channel", "serial", "relay", "bytes_up", "bytes_down", "micro_points", "micro_points_per_gib", "at"}}
	for _, d := range e.Days {
		for _, r := range d.Receipts {
			records = append(records, []string{
				d.Day, r.State, r.Channel.String(), strconv.FormatUint(r.Serial, 10), r.Relay.String(), strconv.FormatUint(r.Up, 10),
				strconv.FormatUint(r.Down, 10), strconv.FormatInt(int64(r.Points), 10), strconv.FormatInt(int64(r.PerGiB), 10),
				r.At.UTC().Format("2006-01-02T15:04:05Z"),
			})
		}
	}
	return out.WriteAll(records)
}

func receiptCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "receipt CHANNEL[/SERIAL]",
		Short: "Show a receipt with both sides' signatures, checked",
		Long: "Show the latest receipt of a channel as JSON: what it says, who signed, whether the four signatures are good, and\n" +
			"the very bytes that were signed, so that anybody can check them (PROTOCOL.md §8). A receipt counts its channel from\n" +
			"the beginning, so the latest one stands for every serial before it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, serial, err := parseReceipt(args[0])
			if err != nil {
				return err
			}
			c, err := load(dir)
			if err != nil {
				return err
			}
			r, err := edge.ReadReceipt(dir, c.Network, id)
			if err != nil {
				return err
			}
			if serial > r.Serial {
				return fmt.Errorf("the latest receipt of this channel that is here has serial %d", r.Serial)
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			if err := out.Encode(r); err != nil {
				return err
			}
			if !r.Verified {
				return errors.New("a signature on this receipt is not good")
			}
			return nil
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

// parseReceipt reads CHANNEL or CHANNEL/SERIAL.
func parseReceipt(arg string) (id accounting.ChannelID, serial uint64, err error) {
	channel, number, given := strings.Cut(arg, "/")
	if err := id.UnmarshalText([]byte(channel)); err != nil {
		return id, 0, fmt.Errorf("a channel is %d hexadecimal digits: %w", 2*len(id), err)
	}
	if given {
		if serial, err = strconv.ParseUint(number, 10, 64); err != nil {
			return id, 0, fmt.Errorf("a serial is a number, not %q", number)
		}
	}
	return id, serial, nil
}
