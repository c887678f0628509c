package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sward/accounting"
	"sward/crawler/botauth"
	"sward/edge"
	"sward/extension"
	"sward/internal/daemon"
	"sward/internal/hub"
	"sward/internal/identity"
)

// hubFile is hub.yaml. Flags override it.
type hubFile struct {
	Network   string        `yaml:"network"`
	Internal  string        `yaml:"internal"`
	API       string        `yaml:"api"`
	Search    string        `yaml:"search"`
	Public    string        `yaml:"public"`
	Contact   string        `yaml:"contact"`
	Debug     string        `yaml:"debug"`
	Delay     time.Duration `yaml:"delay"`
	AuditRate float64       `yaml:"audit_rate"`
	Canaries  canaries      `yaml:"canaries"`
	Chromium  string        `yaml:"chromium"`
	Database  string        `yaml:"database"`
	Limits    partnerLimits `yaml:"limits"`
	Log       string        `yaml:"log"`
	LogFormat string        `yaml:"log_format"`
}

func defaultHubFile() hubFile {
	return hubFile{
		Network: "main", Internal: "127.0.0.1:7400", API: "127.0.0.1:7401", Search: "127.0.0.1:7402", Debug: "127.0.0.1:7403",
		Delay: time.Second, AuditRate: 0.02, Canaries: canaries{}, Limits: defaultPartnerLimits(), Log: "info", LogFormat: "text",
	}
}

// check finds what a hub cannot keep to.
func (f hubFile) check() error {
	if err := identity.CheckNetwork(f.Network); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := botauth.CheckPublic(f.Public); f.Public != "" && err != nil {
		return fmt.Errorf("public: %w", err)
	}
	if _, err := f.Canaries.digests(); err != nil {
		return fmt.Errorf("canaries: %w", err)
	}
	switch {
	case f.Delay <= 0:
		return fmt.Errorf("delay: %s is no time between two requests", f.Delay)
	case !(f.AuditRate >= 0 && f.AuditRate <= 1): // so that no NaN passes
		return fmt.Errorf("audit_rate: %v is not a share between 0 and 1", f.AuditRate)
	}
	return nil
}

func hubCommand() *cobra.Command {
	var dir string
	file := defaultHubFile()
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Run the hub: accounts, ledger, crawl API and search",
		Long:  "Run the hub: partner and owner accounts, grants, the ledger, the crawl API, the web index and its search.\n\nSettings come from DIR/hub.yaml, if it is there, and from flags, which win.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadUnder(cmd, filepath.Join(dir, "hub.yaml"), &file); err != nil {
				return err
			}
			return runHub(cmd, dir, file)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "hub", "directory of the hub's state")
	f.StringVar(&file.Network, "network", file.Network, "name of the network, part of every signature")
	f.StringVar(&file.Internal, "internal", file.Internal, "address for relays, edges and operators (mutual TLS)")
	f.StringVar(&file.API, "api", file.API, "address of the crawl API")
	f.StringVar(&file.Search, "search", file.Search, "address of search")
	f.StringVar(&file.Public, "public", file.Public, "https origin at which the world reaches the API: the crawler names it and signs with it")
	f.StringVar(&file.Contact, "contact", file.Contact, "how site owners reach you, for the crawler's page")
	f.StringVar(&file.Debug, "debug", file.Debug, "loopback address of metrics and pprof")
	f.DurationVar(&file.Delay, "delay", file.Delay, "least time between two requests to one crawled host")
	f.StringVar(&file.Chromium, "chromium", file.Chromium, "browser for screenshots, by path or name; none: they are not offered")
	f.Float64Var(&file.AuditRate, "audit-rate", file.AuditRate, "share of crawled pages fetched again by a second road")
	f.StringVar(&file.Database, "database", file.Database, "PostgreSQL database of crawl jobs; empty: a SQLite file")
	f.StringVar(&file.Log, "log", file.Log, "log level: debug, info, warn, error")
	f.StringVar(&file.LogFormat, "log-format", file.LogFormat, "log format: text, json")
	return cmd
}

func runHub(cmd *cobra.Command, dir string, file hubFile) (err error) {
	ctx := cmd.Context()
	log, err := daemon.Logger(cmd.ErrOrStderr(), file.Log, file.LogFormat)
	if err != nil {
		return err
	}
	if err := file.check(); err != nil {
		return err
	}
	if file.AuditRate == 0 {
		file.AuditRate = -1 // here 0 is none; in a hub.Config it is the default
	}
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	known, err := file.Canaries.digests()
	if err != nil {
		return err
	}
	cfg := hub.Config{
		Dir: dir, Key: key, Network: file.Network, Consents: []accounting.Hash{edge.ConsentHash(), extension.ConsentHash()}, Log: log,
		Delay: file.Delay, AuditRate: file.AuditRate, Canaries: known, Chromium: file.Chromium, Database: file.Database, Limits: file.Limits.limits(),
		Public: file.Public, Contact: file.Contact,
	}
	var listeners listeners
	defer func() { err = errors.Join(err, listeners.close()) }()
	cfg.Internal, cfg.API, cfg.Search = listeners.open(ctx, file.Internal), listeners.open(ctx, file.API), listeners.open(ctx, file.Search)
	debug := listeners.open(ctx, file.Debug)
	if listeners.failed != nil {
		return listeners.failed
	}
	h, err := hub.Open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	log.Info("hub is up", "hub", key.ID().String(), "network", file.Network, "internal", cfg.Internal.Addr().String(),
		"api", cfg.API.Addr().String(), "search", cfg.Search.Addr().String())
	return daemon.Run(ctx, log, append(h.Workers(), daemon.Debug(debug, registry(h.Metrics())))...)
}

// listeners opens several and keeps the first failure.
type listeners struct {
	all    []net.Listener
	failed error
}

func (ls *listeners) open(ctx context.Context, address string) net.Listener {
	if ls.failed != nil {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		ls.failed = err
		return nil
	}
	ls.all = append(ls.all, l)
	return l
}

func (ls *listeners) close() error {
	for _, l := range ls.all {
		l.Close() // its server has closed it before, unless starting failed
	}
	return nil
}

// registry has the role's collectors and those of the Go runtime and the process.
func registry(all []prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(all...)
	return r
}

// loadUnder reads a config file under the flags that were set: what the file says yields to a flag, and replaces a
// default. A missing file is no file.
func loadUnder(cmd *cobra.Command, path string, into any) error {
	set := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) { set[f.Name] = f.Value.String() })
	if err := daemon.LoadConfig(path, into); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for name, value := range set {
		if err := cmd.Flags().Set(name, value); err != nil {
			return err
		}
	}
	return nil
}
