package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sward/edge"
	"sward/internal/daemon"
	"sward/internal/identity"
)

// maxAnswer bounds what is read of the owner's answer.
const maxAnswer = 256

// errNotAgreed: the owner did not type the phrase.
var errNotAgreed = errors.New("not agreed: nothing will be shared")

// initFlags are the settings that init takes; what is not given keeps its value in edge.yaml, or the default.
type initFlags struct {
	dir, network, hub, hubID, code string
	day, month, invitation         string
}

func initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init [INVITATION]",
		Short: "Read what sharing means, agree, and write the settings",
		Long: "Show in plain words what sharing this line means, ask for agreement, and write the settings.\n\n" +
			"The network is named by an invitation, one line between quotes, or by flags. Agreement is typed at a terminal, or given\n" +
			"by a code that the hub's operator issued to the line's owner.",
		Example: "  sward-edge init 'sward:main?at=hub.example:7400&hub=HUB-ID'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.invitation = strings.Join(args, "")
			if err := initialise(cmd.Context(), f, cmd.InOrStdin(), cmd.OutOrStdout()); err != nil {
				return err
			}
			program := "sward-edge"
			if parent := cmd.Parent(); parent != nil {
				program = parent.CommandPath() // "sward edge", in the program that has every role
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Start sharing with: %s run --dir %s\n", program, f.dir)
			return nil
		},
	}
	dirFlag(cmd, &f.dir)
	f.settingFlags(cmd)
	return cmd
}

// settingFlags are those of init and install.
func (f *initFlags) settingFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.network, "network", "", "name of the network to join")
	cmd.Flags().StringVar(&f.hub, "hub", "", "host:port of the network's hub")
	cmd.Flags().StringVar(&f.hubID, "hub-id", "", "the hub's identity, pinned")
	cmd.Flags().StringVar(&f.code, "consent-code", "", "code that stands for the owner's agreement on a machine without a terminal")
	cmd.Flags().StringVar(&f.day, "day", "", "most bytes to share per day, for example 5GB; 0 is no cap")
	cmd.Flags().StringVar(&f.month, "month", "", "most bytes to share per month, for example 100GB; 0 is no cap")
}

func initialise(ctx context.Context, f initFlags, in io.Reader, out io.Writer) error {
	c, err := f.settings()
	if err != nil {
		return err
	}
	if err := ownDirectory(f.dir); err != nil {
		return err
	}
	key, err := identity.LoadOrCreateKey(filepath.Join(f.dir, keyFile))
	if err != nil {
		return err
	}
	text, err := daemon.MarshalConfig(c)
	if err != nil {
		return err
	}
	if err := daemon.WriteFile(filepath.Join(f.dir, configFile), text, 0o600); err != nil {
		return err
	}
	agreed, err := edge.Agreed(f.dir)
	if err != nil {
		return err
	}
	if !agreed {
		if err := f.agree(ctx, c, key, in, out); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nThis edge is %s.\nIts settings are in %s.\n", key.ID(), filepath.Join(f.dir, configFile))
	return nil
}

// settings are those in edge.yaml, if there are any, with the flags over them.
func (f initFlags) settings() (edge.FileConfig, error) {
	c := edge.DefaultFileConfig()
	path := filepath.Join(f.dir, configFile)
	if err := daemon.LoadConfig(path, &c); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if f.invitation != "" {
		i, err := ParseInvitation(f.invitation)
		if err != nil {
			return c, err
		}
		c.Network, c.Hub = i.Network, i.Hub
	}
	if f.network != "" {
		c.Network = f.network
	}
	if f.hub != "" {
		c.Hub.Addr = f.hub
	}
	if f.hubID != "" {
		id, err := identity.ParseID(f.hubID)
		if err != nil {
			return c, fmt.Errorf("--hub-id: %w", err)
		}
		c.Hub.ID = id
	}
	if f.day != "" {
		if err := c.Caps.Day.UnmarshalText([]byte(f.day)); err != nil {
			return c, fmt.Errorf("--day: %w", err)
		}
	}
	if f.month != "" {
		if err := c.Caps.Month.UnmarshalText([]byte(f.month)); err != nil {
			return c, fmt.Errorf("--month: %w", err)
		}
	}
	return c, c.Validate()
}

// agree shows the text and takes the owner's word, typed or by code. There is no third way.
func (f initFlags) agree(ctx context.Context, c edge.FileConfig, key identity.Key, in io.Reader, out io.Writer) error {
	fmt.Fprintln(out, edge.ConsentText(c))
	if f.code != "" {
		hub := hubClient(c, key)
		defer hub.Close()
		return edge.AgreeByCode(ctx, f.dir, hub, f.code, time.Now())
	}
	if !isTerminal(in) {
		return fmt.Errorf("%w: the owner agrees at a terminal, or with --consent-code", errNotAgreed)
	}
	return agreeTyped(f.dir, in, out)
}

// agreeTyped asks for the phrase, once.
func agreeTyped(dir string, in io.Reader, out io.Writer) error {
	fmt.Fprintf(out, "To share this connection on these terms, type: %s\n> ", edge.ConsentPhrase)
	answer, err := bufio.NewReader(io.LimitReader(in, maxAnswer)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if !strings.EqualFold(strings.TrimSpace(answer), edge.ConsentPhrase) {
		return errNotAgreed
	}
	return edge.Agree(dir, time.Now())
}

// isTerminal tells a person's terminal from a pipe or a file. The null device passes and then answers nothing.
func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}
