package agent

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"sward/edge"
)

func pauseCommand() *cobra.Command {
	var dir string
	var period time.Duration
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Stop sharing at once, for a while or until resume",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form := url.Values{}
			if cmd.Flags().Changed("for") {
				if period <= 0 || period > edge.MaxPause {
					return errors.New("--for: a pause is longer than nothing and at most a year")
				}
				form.Set("for", period.String())
			}
			s, _, err := call(cmd.Context(), dir, "POST", "/pause", form)
			if err != nil {
				return err
			}
			if s.PausedUntil.IsZero() {
				fmt.Fprintln(cmd.OutOrStdout(), "paused, until resume")
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "paused, until %s\n", s.PausedUntil.Local().Format(clock))
			}
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().DurationVar(&period, "for", 0, "how long, for example 2h; left out: until resume")
	return cmd
}

func resumeCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Share again",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := call(cmd.Context(), dir, "POST", "/resume", nil)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), headline(s))
			return nil
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
