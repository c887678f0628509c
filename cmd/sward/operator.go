package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sward/accounting"
	"sward/edge"
	"sward/edge/agent"
	"sward/internal/hub"
	"sward/internal/identity"
	"sward/policy"
)

// withHub calls do with a client that speaks to the running hub as its operator, by the hub's own key.
func withHub(ctx context.Context, dir string, do func(context.Context, *accounting.Client) error) error {
	at, err := hub.ReadAddress(dir)
	if err != nil {
		return err
	}
	key, err := identity.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	client := &accounting.Client{Addr: at.Internal, Network: at.Network, Hub: at.Hub, Key: key}
	defer client.Close()
	return do(ctx, client)
}

func idCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "id",
		Short: "Print the identity of the role in a directory, making its key if there is none",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.ID())
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "hub", "directory of the role's state")
	return cmd
}

func admitCommand() *cobra.Command {
	var dir, region string
	cmd := &cobra.Command{
		Use:   "admit RELAY-ID",
		Short: "Let a relay into the network",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := identity.ParseID(args[0])
			if err != nil {
				return err
			}
			return withHub(cmd.Context(), dir, func(ctx context.Context, client *accounting.Client) error {
				return client.AdmitRelay(ctx, accounting.RelayInfo{ID: id, Region: region})
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "hub", "directory of the running hub")
	cmd.Flags().StringVar(&region, "region", "", "where the relay stands, for the directory")
	return cmd
}

func partnerCommand() *cobra.Command {
	var dir string
	var purpose string
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Open an account and print its key, this once",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := policy.ParsePurpose(purpose)
			if err != nil {
				return fmt.Errorf("--purpose %q is not one of %v", purpose, policy.Purposes())
			}
			return withHub(cmd.Context(), dir, func(ctx context.Context, client *accounting.Client) error {
				key, err := client.AddPartner(ctx, args[0], p.Code())
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), key)
				}
				return err
			})
		},
	}
	add.Flags().StringVar(&purpose, "purpose", "", fmt.Sprintf("what the partner's traffic is for: one of %v", policy.Purposes()))
	if err := add.MarkFlagRequired("purpose"); err != nil {
		panic(err) // the flag is defined in the line above
	}

	credit := &cobra.Command{
		Use:     "credit NAME SIZE",
		Short:   "Add prepaid bytes to an account, at today's price",
		Example: "  sward partner credit acme 10GiB",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var size policy.Size
			if err := size.UnmarshalText([]byte(args[1])); err != nil {
				return err
			}
			if size <= 0 {
				return fmt.Errorf("%s is not a credit", args[1])
			}
			return withHub(cmd.Context(), dir, func(ctx context.Context, client *accounting.Client) error {
				if err := client.Credit(ctx, args[0], uint64(size)); err != nil {
					return err
				}
				return printUsage(ctx, cmd, client, args[0])
			})
		},
	}

	cmd := family("partner", "Partners' accounts: add, credit, limit, usage", add, credit, limitCommand(&dir), usageCommand(&dir))
	cmd.PersistentFlags().StringVar(&dir, "dir", "hub", "directory of the running hub")
	return cmd
}

func printUsage(ctx context.Context, cmd *cobra.Command, client *accounting.Client, name string) error {
	u, err := client.Usage(ctx, name)
	if err != nil {
		return err
	}
	purpose, _ := policy.PurposeByCode(u.Purpose)
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "partner\t%s (%s)\n", u.Name, purpose)
	fmt.Fprintf(w, "limits\t%s\n", limitsLine(u.Limits, u.Today))
	fmt.Fprintf(w, "balance\t%s points, about %s\n", u.Balance, size(u.Bytes))
	fmt.Fprintf(w, "reserved\t%s points in %d grants\n", u.Reserved, len(u.Grants))
	fmt.Fprintf(w, "used\t%s up, %s down, %s points\n", size(u.Up), size(u.Down), u.Charged)
	if u.Refunded > 0 || u.Pending > 0 {
		fmt.Fprintf(w, "refunded\t%s points, %s more when later traffic pays for it\n", u.Refunded, u.Pending)
	}
	for _, day := range u.Days {
		fmt.Fprintf(w, "%s\t%s up, %s down, %s points\n", day.Day, size(day.Up), size(day.Down), day.Micro)
	}
	return w.Flush()
}

func ownerCommand() *cobra.Command {
	var dir string
	invite := &cobra.Command{
		Use:   "invite",
		Short: "Issue a consent code for one edge, to be given to the owner of the line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHub(cmd.Context(), dir, func(ctx context.Context, client *accounting.Client) error {
				invite, err := client.Invite(ctx)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), invite.Code)
				fmt.Fprintf(cmd.ErrOrStderr(), "good once, until %s: sward-edge init --consent-code %s\n", invite.Expires.Format("2006-01-02 15:04 MST"), invite.Code)
				return nil
			})
		},
	}
	browser := &cobra.Command{
		Use:     "browser RELAY-ID ADDRESS",
		Short:   "Print the invitation that the owner of a browser node pastes into its popup",
		Example: "  sward owner browser RELAY-ID wss://relay.example.net/v1/node",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			relay, err := identity.ParseID(args[0])
			if err != nil {
				return err
			}
			at, err := url.Parse(args[1])
			if err != nil || at.Host == "" || at.Scheme != "wss" && at.Scheme != "ws" {
				return fmt.Errorf("%q is no wss address", args[1])
			}
			of, err := hub.ReadAddress(dir)
			if err != nil {
				return err
			}
			trust := url.Values{"hub": {of.Hub.String()}, "relay": {relay.String()}, "at": {at.String()}}
			fmt.Fprintf(cmd.OutOrStdout(), "sward:%s?%s\n", of.Network, trust.Encode())
			return nil
		},
	}
	home := &cobra.Command{
		Use:     "home ADDRESS",
		Short:   "Print the invitation that the owner of a line gives to sward-edge; ADDRESS is where the hub answers from outside",
		Example: "  sward owner home hub.example.net:7400",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if host, port, err := net.SplitHostPort(args[0]); err != nil || host == "" || port == "" {
				return fmt.Errorf("%q is not host:port", args[0])
			}
			of, err := hub.ReadAddress(dir)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), agent.Invitation{Network: of.Network, Hub: edge.Hub{Addr: args[0], ID: of.Hub}})
			return nil
		},
	}
	cmd := family("owner", "Owners of lines: an agent's invitation, a browser's, and the code for a machine without a terminal", home, browser, invite)
	cmd.PersistentFlags().StringVar(&dir, "dir", "hub", "directory of the running hub")
	return cmd
}

func auditCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "audit DIR",
		Short: "Replay the books from their files and say whether every number follows from signatures",
		Long: `Replay a hub's books (HUB-DIR/books) offline: every signature, every rule, every balance, and each row of the ledger.

Exit code 0 means that every number follows from signatures. Otherwise the first record at fault is named.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := accounting.Audit(cmd.Context(), args[0])
			if finding := (*accounting.Finding)(nil); errors.As(err, &finding) {
				return fmt.Errorf("the book in %s does not hold: %w", args[0], finding)
			}
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), report)
			return nil
		},
	}
}
