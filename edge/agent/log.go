package agent

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/edge/diary"
)

type logFlags struct {
	dir, day  string
	csv, json bool
	forget    bool
}

func logCommand() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show what left your line, or forget it",
		Long: "Show which sites were visited through this line, for whom, by which app and with how many bytes. No page and\n" +
			"no content is ever written down. A stream is written down when it ends, within five seconds.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.OutOrStdout(), time.Now()) },
	}
	dirFlag(cmd, &f.dir)
	cmd.Flags().StringVar(&f.day, "day", "today", "the day: today, yesterday, all, or a date like 2026-11-22")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print CSV, for a spreadsheet")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.forget, "forget", false, "forget the day instead: its key is thrown away, and no copy can be read again")
	cmd.MarkFlagsMutuallyExclusive("csv", "json", "forget")
	return cmd
}

func (f logFlags) run(out io.Writer, now time.Time) error {
	dir := filepath.Join(f.dir, edge.DiaryDir)
	days, err := f.days(dir, now)
	if err != nil {
		return err
	}
	if f.forget {
		for _, day := range days {
			if err := diary.Forget(dir, day); err != nil {
				return err
			}
			fmt.Fprintf(out, "forgotten: %s\n", day)
		}
		return nil
	}
	var lines []diary.Line
	damaged := 0
	for _, day := range days {
		more, bad, err := diary.Read(dir, day)
		if err != nil {
			return err
		}
		lines, damaged = append(lines, more...), damaged+bad
	}
	switch {
	case f.json:
		return diary.WriteJSON(out, lines)
	case f.csv:
		return diary.WriteCSV(out, lines)
	}
	return printLines(out, lines, damaged)
}

// days are those that were asked for, oldest first.
func (f logFlags) days(dir string, now time.Time) ([]string, error) {
	switch f.day {
	case "today":
		return []string{now.Format(time.DateOnly)}, nil
	case "yesterday":
		return []string{now.AddDate(0, 0, -1).Format(time.DateOnly)}, nil
	case "all":
		days, err := diary.Days(dir)
		slices.Reverse(days)
		return days, err
	}
	day, err := diary.ParseDay(f.day)
	if err != nil {
		return nil, fmt.Errorf("--day: %w, or is today, yesterday or all", err)
	}
	return []string{day}, nil
}

func printLines(w io.Writer, lines []diary.Line, damaged int) error {
	if len(lines) == 0 {
		fmt.Fprintln(w, "nothing left your line")
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "day\tsite\tcategory\tfor\tapp\tconnections\tbytes up\tbytes down")
		for _, l := range lines {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", l.Day, l.Site, l.Category, l.Purpose, l.App, l.Streams, l.Up, l.Down)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if damaged > 0 {
		_, err := fmt.Fprintf(w, "%d records are damaged and were left out\n", damaged)
		return err
	}
	return nil
}
