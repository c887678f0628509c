package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/edge"
)

func askCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ask SITE",
		Short: "Ask whether a site may be visited through your line, and which rule says so",
		Long: "Ask whether a site may be visited through this line, and which rule says so: the one that decides first, then the others\n" +
			"that have a say. SITE is a name, a name with a port, or the address of a page. The edge must be running.",
		Example: "  sward-edge ask shop.example",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a edge.Answer
			if _, err := ask(cmd.Context(), dir, "GET", "/api/ask", url.Values{"site": args}, &a); err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(a)
			}
			return printAnswer(cmd.OutOrStdout(), a)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

func printAnswer(w io.Writer, a edge.Answer) error {
	site, verdict := a.Host, "may not be visited"
	if a.Port != 0 { // a name of homes has none
		site = net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
	}
	if a.Allowed {
		verdict = "may be visited"
	}
	fmt.Fprintf(w, "%s %s through this line.\n", site, verdict)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "decided\t%s\t(%s)\n", a.Decided.Text, a.Decided.Where)
	for _, f := range a.Others {
		fmt.Fprintf(t, "also\t%s\t(%s)\n", f.Text, f.Where)
	}
	if a.Now != "" {
		fmt.Fprintf(t, "now\tnothing is shared: %s\n", a.Now)
	}
	return t.Flush()
}
