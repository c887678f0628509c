package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sward/docs"
	"sward/internal/daemon"
	"sward/internal/sandbox"
)

func sandboxCommand() *cobra.Command {
	var cfg sandbox.Config
	var site, logLevel string
	var takeTour bool
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run the whole network in one process, with a web site to work on",
		Long: `Run a hub, a relay and edges in one process, joined by real QUIC on loopback, with a web site that only they can
reach: this program's manual, or any folder of HTML (--site).

With --tour it does once what the users of a network do, says what it sees, and exits. Without it stays up and prints
commands to copy. DIR/sandbox.json tells scripts where everything is; it is written when everything is ready.`,
		Example: "  sward sandbox --tour\n  sward sandbox --dir sandbox --edges 5\n  sward sandbox --tour --site /usr/share/doc/python3.11/html",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := daemon.Logger(cmd.ErrOrStderr(), logLevel, "text")
			if err != nil {
				return err
			}
			if cfg.Edges < 1 {
				return fmt.Errorf("--edges %d: a sandbox has at least one", cfg.Edges)
			}
			cfg.Log, cfg.Manual = log, docs.Manual
			if site != "" {
				info, err := os.Stat(site)
				if err != nil {
					return fmt.Errorf("--site: %w", err)
				}
				if !info.IsDir() {
					return fmt.Errorf("--site %s is not a folder", site)
				}
				cfg.Site = os.DirFS(site)
			}
			if cfg.Dir == "" {
				dir, err := os.MkdirTemp("", "sward-sandbox-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(dir)
				cfg.Dir = dir
			}
			if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
				return err
			}
			return runSandbox(cmd.Context(), cmd.OutOrStdout(), cfg, takeTour)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&takeTour, "tour", false, "do once what users do, say what it sees, and exit")
	f.StringVar(&cfg.Dir, "dir", "", "directory for the state, kept from run to run (default: a temporary one)")
	f.IntVar(&cfg.Edges, "edges", 3, "number of edges")
	f.StringVar(&site, "site", "", "folder of HTML to serve as the web site (default: the manual)")
	f.StringVar(&cfg.Proxy, "proxy", "", "address of the partners' door (default: a free port on 127.0.0.1)")
	f.StringVar(&cfg.ProxyTLS, "proxy-tls", "", "address of the partners' door in TLS (default: a free port on 127.0.0.1)")
	f.StringVar(&cfg.API, "api", "", "address of the crawl API (default: a free port on 127.0.0.1)")
	f.StringVar(&cfg.Search, "search", "", "address of search (default: a free port on 127.0.0.1)")
	f.StringVar(&cfg.Internal, "internal", "", "address of the hub for relays and edges (default: a free port on 127.0.0.1)")
	f.StringVar(&logLevel, "log", "warn", "log level: debug, info, warn, error")
	return cmd
}

// runSandbox runs the network, and beside it what the person came for.
func runSandbox(ctx context.Context, out io.Writer, cfg sandbox.Config, takeTour bool) error {
	err := sandbox.While(ctx, cfg, func(ctx context.Context, box *sandbox.Sandbox) error {
		info := box.Info()
		fmt.Fprintf(out, "Sward sandbox: a hub, a relay and %d edges are up in one process, over QUIC on loopback.\n", len(info.Edges))
		fmt.Fprintf(out, "The site to work on is %s, which only these edges can reach.\n", info.Site)
		if !takeTour {
			printCommands(out, box)
			<-ctx.Done()
			return nil
		}
		sights := &tour{out: out, info: info, net: box, bar: isTerminal(out), queries: queries(cfg)}
		return sights.run(ctx)
	})
	if err == nil && takeTour {
		fmt.Fprintln(out, "\nAll five are as they should be.")
	}
	return err
}

// printCommands prints what a person can copy.
func printCommands(out io.Writer, box *sandbox.Sandbox) {
	i := box.Info()
	fmt.Fprintf(out, `
Through the proxy, to an HTTPS page, over HTTP and over SOCKS5:

  curl --cacert %[1]s -x http://%[2]s:%[3]s@%[4]s %[5]s/
  curl --cacert %[1]s --socks5-hostname %[4]s --proxy-user %[2]s:%[3]s %[5]s/

The same with TLS, or HTTP/2 (curl from 8.1), on the way to the proxy too:

  curl --cacert %[1]s --proxy-cacert %[1]s -x %[15]s --proxy-user %[2]s:%[3]s %[5]s/
  curl --cacert %[1]s --proxy-cacert %[1]s --proxy-http2 -x %[15]s --proxy-user %[2]s:%[3]s %[5]s/

What the address gate refuses, a router behind a public name:

  curl -i -x http://%[2]s:%[3]s@%[4]s http://%[6]s/

A crawl of the whole site, and its result (put the id that the first prints into the second):

  curl -s -H 'Authorization: Bearer %[3]s' -H 'Content-Type: application/json' -d '{"url":"%[7]s/","limit":100}' %[8]s/v2/crawl
  curl -s -H 'Authorization: Bearer %[3]s' %[8]s/v2/crawl/ID

The same as one file, checked; and a page to watch jobs with (the key is %[3]s):

  SWARD_KEY=%[3]s sward crawl %[7]s/ --api %[8]s -o site.warc.gz
  %[8]s/console

Search what was crawled, as JSON and as a page for people:

  curl -s '%[9]s/search?q=receipt'
  %[9]s/

An edge owner's dashboard, the debug servers, and everything again for scripts:

  sward edge dashboard --dir %[10]s
  %[11]s/metrics  %[12]s/metrics
  %[13]s

When it is stopped (Ctrl-C), audit the books:

  sward audit %[14]s
`, i.CA, i.Partner, i.Key, i.Socks, i.SiteTLS, sandbox.TrapName, i.Site, i.API, i.Search,
		filepath.Join(box.Dir(), "edges", "0"), i.Hub, i.Relay, filepath.Join(box.Dir(), "sandbox.json"), filepath.Join(box.Dir(), "hub", "books"), i.ProxyTLS)
}

// queries are what the tour searches for in the manual; in another site it takes words of the crawled titles.
func queries(cfg sandbox.Config) []string {
	if cfg.Site != nil {
		return nil
	}
	return []string{"signed receipt", "home router", "monthly cap"}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
