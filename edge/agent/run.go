package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"sward/edge"
	"sward/edge/dashboard"
	"sward/edge/install"
	"sward/internal/daemon"
	"sward/internal/identity"
)

type runFlags struct {
	dir, level, format, debug, logFile string

	show bool // the dashboard, in the owner's browser
}

func runCommand(version string) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Connect and share, until stopped",
		Long:  "Connect to the network's relays and share this line under the rules in edge.yaml, until stopped.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return run(cmd, f, version) },
	}
	dirFlag(cmd, &f.dir)
	cmd.Flags().StringVar(&f.level, "log", "info", "log level: debug, info, warn, error")
	cmd.Flags().StringVar(&f.format, "log-format", "text", "log format: text, json")
	cmd.Flags().StringVar(&f.logFile, "log-file", "", "write the log to this file instead of standard error; turned over at 1 MiB, three old ones kept")
	cmd.Flags().StringVar(&f.debug, "debug", "", "loopback address of metrics and pprof; empty is none")
	return cmd
}

func run(cmd *cobra.Command, f runFlags, version string) (err error) {
	ctx := cmd.Context()
	logTo := cmd.ErrOrStderr()
	if f.logFile != "" {
		file, err := daemon.OpenLogFile(f.logFile)
		if err != nil {
			return fmt.Errorf("--log-file: %w", err)
		}
		defer file.Close()
		logTo = file
	}
	log, err := daemon.Logger(logTo, f.level, f.format)
	if err != nil {
		return err
	}
	c, err := load(f.dir)
	if err != nil {
		return err
	}
	if err := checkDirectory(f.dir); err != nil {
		return err
	}
	key, err := identity.LoadKey(filepath.Join(f.dir, keyFile))
	if err != nil {
		return err
	}
	hub := hubClient(c, key)
	defer hub.Close()
	cfg := edge.Config{
		Key: key, Network: c.Network, Hub: hub, Relays: c.Relays,
		Settings: c.Settings, File: filepath.Join(f.dir, configFile),
		Dir: f.dir, Agent: "sward-edge/" + version, Rest: daemon.GiveBack, Log: log,
	}
	var open sockets
	defer func() { err = errors.Join(err, open.close()) }()
	l, err := open.tcp(ctx, c.Dashboard)
	if err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	if cfg.PacketConn, err = open.udp(ctx, c.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	debug, err := open.tcp(ctx, f.debug)
	if err != nil {
		return fmt.Errorf("--debug: %w", err)
	}
	e, err := edge.New(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "edge %s\n", e.ID())
	workers := []daemon.Worker{{Name: "edge", Run: e.Run}}
	if l != nil {
		board, err := dashboard.New(dashboard.Config{Edge: e, Listener: l, Dir: f.dir, Log: log})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "dashboard %s (the command dashboard opens it)\n", board.URL())
		workers = append(workers, daemon.Worker{Name: "dashboard", Run: board.Run})
		if f.show {
			workers = append(workers, daemon.Worker{Name: "browser", Run: func(ctx context.Context) error {
				showDashboard(ctx, cmd.OutOrStdout(), board.Link())
				return nil
			}})
		}
	}
	if debug != nil {
		registry := prometheus.NewRegistry()
		for _, m := range e.Metrics() {
			if err := registry.Register(m); err != nil {
				return err
			}
		}
		workers = append(workers, daemon.Debug(debug, registry))
	}
	return install.Run(ctx, func(ctx context.Context) error { return daemon.Run(ctx, log, workers...) })
}

// sockets are what run has opened. Workers close their own; closing twice does no harm.
type sockets struct{ all []interface{ Close() error } }

func (s *sockets) tcp(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		s.all = append(s.all, l)
	}
	return l, err
}

func (s *sockets) udp(ctx context.Context, address string) (net.PacketConn, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", address)
	if err == nil {
		s.all = append(s.all, pc)
	}
	return pc, err
}

func (s *sockets) close() error {
	var errs []error
	for _, c := range s.all {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
