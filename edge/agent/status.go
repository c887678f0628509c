package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/edge/dashboard"
)

const (
	clock     = "2006-01-02 15:04"
	shownMost = 10 // refusals and sites in the terminal; the dashboard has all
)

func statusCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show relays, volume against the caps, points and the last refusals",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, control, err := call(cmd.Context(), dir, "GET", "/status", nil)
			if err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s, control)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return cmd
}

// headline says in one line whether anything is shared.
func headline(s edge.Status) string {
	switch {
	case s.Serving:
		return "sharing"
	case s.Paused && !s.PausedUntil.IsZero():
		return "not sharing: " + s.Reason() + ", until " + s.PausedUntil.Local().Format(clock)
	}
	return "not sharing: " + s.Reason()
}

func printStatus(w io.Writer, s edge.Status, control dashboard.Control) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	line("state", "%s", headline(s))
	line("edge", "%s", s.Edge)
	line("network", "%s", s.Network)
	line("today", "%s (%d%%)", s.Today.Proof, s.Today.Percent())
	line("this month", "%s (%d%%), until %s", s.Month.Proof, s.Month.Percent(), s.Month.Ends.Format(time.DateOnly))
	if s.PointsAt.IsZero() {
		line("points", "the hub has not answered yet")
	} else {
		line("points", "%s at %s", s.Points, s.PointsAt.Local().Format(clock))
	}
	if s.Unsubmitted > 0 {
		line("receipts", "%d on their way to the hub", s.Unsubmitted)
	}
	if s.Suspended != "" {
		line("suspended", "%s", s.Suspended)
	}
	line("streams", "%d now", s.Streams)
	line("lists", "of %s", strings.Join(s.Lists, ", "))
	line("port mapping", "%s", s.Mapping)
	for _, r := range s.Relays {
		state := "not connected " + r.Problem
		if r.Connected {
			state = "connected since " + r.Since.Local().Format(clock)
		}
		line("relay", "%s %s, %s", r.ID.Short(), strings.TrimSpace(r.Addr+" "+r.Region), strings.TrimSpace(state))
	}
	for _, u := range s.Sites[:min(len(s.Sites), shownMost)] {
		line("site today", "%s, %d connections, %d bytes, for %s", u.Site, u.Streams, u.Up+u.Down, strings.Join(slices.Sorted(maps.Keys(u.For)), ", "))
	}
	for _, rule := range slices.Sorted(maps.Keys(s.RefusedToday)) {
		line("refused today", "%s %d", rule, s.RefusedToday[rule])
	}
	for _, r := range s.Refusals[:min(len(s.Refusals), shownMost)] {
		line("last refusal", "%s %s, %s: %s", r.Time.Local().Format(clock), r.Rule, r.Host, r.Meaning())
	}
	line("dashboard", "http://%s/ (the command dashboard opens it)", control.Addr)
	return t.Flush()
}
