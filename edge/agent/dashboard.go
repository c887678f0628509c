package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sward/edge/dashboard"
)

const browserWait = 5 * time.Second // for the system to find a browser

func dashboardCommand() *cobra.Command {
	var dir string
	var show bool
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Open the dashboard in your browser, signed in",
		Long: "Open the dashboard of the running edge in your browser, and sign the browser in by a code that works once,\n" +
			"within two minutes. Without a screen, the address and the code are printed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var invited dashboard.Invitation
			if _, err := ask(cmd.Context(), dir, "POST", "/code", nil, &invited); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			address, _, _ := strings.Cut(invited.URL, "#")
			if !show && openBrowser(cmd.Context(), invited.URL) == nil {
				fmt.Fprintln(out, "The dashboard opens in your browser.")
				fmt.Fprintf(out, "If it does not, go to %s and type the code %s.\n", address, spaced(invited.Code))
				return nil
			}
			fmt.Fprintln(out, invited.URL)
			fmt.Fprintf(out, "The code in it is %s. It works once, until %s.\n", spaced(invited.Code), invited.Ends.Local().Format("15:04:05"))
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&show, "print", false, "print the address and the code, and open nothing")
	return cmd
}

// spaced makes a code easier to read and to type: the dashboard takes it so, too.
func spaced(code string) string {
	half := len(code) / 2
	return code[:half] + " " + code[half:]
}

// openBrowser has the system show an address in the owner's browser. The error says that there is none, or no screen.
func openBrowser(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, browserWait)
	defer cancel()
	switch runtime.GOOS {
	case "darwin":
		return exec.CommandContext(ctx, "open", url).Run()
	case "windows":
		return exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", url).Run()
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return fmt.Errorf("there is no screen here")
	}
	return exec.CommandContext(ctx, "xdg-open", url).Run()
}
