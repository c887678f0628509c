// Command clients runs real clients against the built programs and prints a table of what they could do.
//
// A proxy is what its clients make of it: each speaks the door's dialects a little differently, and shows a refusal in
// its own words, or hides it. So every client here fetches a plain page and one in TLS, once with the right key; then it
// brings a wrong key, and asks for a name behind which stands a home router. What it must show of the last two is the
// refusal, not an empty page. A client that is not installed is skipped with a word; one that failed fails the run.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"sward/internal/bench/rig"
)

// marker stands in the site's page: who shows it has fetched it.
const marker = "the shop at the end of the rig"

// clientTime is how long a client may take for one page: a browser has to start.
const clientTime = 40 * time.Second

type plan struct{ bin, cache, rows, write string }

func main() {
	p := plan{}
	flag.StringVar(&p.bin, "bin", "bin", "directory of the built programs")
	flag.StringVar(&p.cache, "cache", ".cache/clients", "directory with node_modules and a newer curl; make clients fills it")
	flag.StringVar(&p.rows, "rows", "", "only rows whose name has one of these parts, with commas between")
	flag.StringVar(&p.write, "write", "", "a document between whose marks the table is written, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if !errors.Is(err, rig.ErrMissing) {
			os.Exit(1)
		}
	}
}

// lab is the network, its site, and what clients need to know.
type lab struct {
	rig     *rig.Rig
	net     *rig.Network
	ca, key string // certificate of the site and of the doors in TLS, which clients trust
	scripts string
	cache   string // of what make fetched
}

func (p plan) run(ctx context.Context) (err error) {
	l := &lab{}
	if l.rig, err = rig.New(rig.Config{}); err != nil {
		return err
	}
	defer l.rig.Close()
	if err := l.serve(); err != nil {
		return err
	}
	if err := l.prepare(p); err != nil {
		return err
	}
	l.net, err = l.rig.StartNetwork(ctx, rig.Programs{Bin: p.bin, Certificate: l.ca, CertificateKey: l.key})
	if err != nil {
		return err
	}
	table, failed := l.table(ctx, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Println("\n" + table.String())
	if p.write != "" {
		if err := rig.Replace(filepath.Clean(p.write), "clients", rig.Machine(time.Now())+"\n\n"+table.String()); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}

// serve answers the site's page in plain HTTP and in TLS.
func (l *lab) serve() (err error) {
	if l.ca, l.key, err = rig.Certificate(l.rig.Dir, rig.SiteName, rig.Street); err != nil {
		return err
	}
	certificate, err := tls.LoadX509KeyPair(l.ca, l.key)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Shop</title><p>This is %s.</p>", marker)
	})
	mux.Handle("/small", rig.Blob(nil))
	if err := l.rig.ServeSite(mux); err != nil {
		return err
	}
	secure, err := l.rig.Site.Listen(net.JoinHostPort(rig.Site, "443"))
	if err != nil {
		return err
	}
	l.rig.Serve(tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}), mux)
	return nil
}

// The four things that every client does.
type check struct {
	name, url string
	wrongKey  bool
	want      *regexp.Regexp
}

// checks differ a little by the dialect: what a client sees of a refusal is a status, or a SOCKS reply.
func checks(c client) []check {
	page := regexp.MustCompile(regexp.QuoteMeta(marker))
	return []check{
		{"http page", "http://" + rig.SiteName + "/", false, page},
		{"https page", "https://" + rig.SiteName + "/", false, page},
		{"wrong key", "http://" + rig.SiteName + "/", true, c.denied},
		{"refused target", "https://" + rig.TrapName + "/", false, c.refused},
	}
}

// table runs all clients, one after the other.
func (l *lab) table(ctx context.Context, p plan) (table rig.Table, failed int) {
	table.Head = []string{"client", "version"}
	for _, c := range checks(client{}) {
		table.Head = append(table.Head, c.name)
	}
	for i, c := range l.clients() {
		if !asked(p.rows, c.name) {
			continue
		}
		row := []string{c.name}
		version, err := c.version(ctx)
		if err != nil {
			fmt.Printf("%-28s skipped: %v\n", c.name, err)
			table.Rows = append(table.Rows, append(row, "–", "skipped: "+err.Error(), "–", "–", "–"))
			continue
		}
		row = append(row, version)
		name := fmt.Sprintf("client-%d", i) // of its own: wrong keys are counted by name
		key, err := l.net.AddPartner(ctx, name)
		if err != nil {
			fmt.Println(err)
			failed++
		}
		for _, k := range checks(c) {
			verdict := l.verdict(ctx, c, k, name, key)
			if strings.HasPrefix(verdict, "failed") {
				failed++
			}
			row = append(row, verdict)
		}
		fmt.Printf("%-28s %s\n", c.name, strings.Join(row[1:], ", "))
		table.Rows = append(table.Rows, row)
	}
	return table, failed
}

func asked(parts, name string) bool {
	for part := range strings.SplitSeq(parts, ",") {
		if strings.Contains(strings.ToLower(name), strings.ToLower(part)) {
			return true
		}
	}
	return false
}

// verdict makes one check: passed, or failed with what the client said.
func (l *lab) verdict(ctx context.Context, c client, k check, name, key string) string {
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	if k.wrongKey {
		key = "not-" + key
	}
	said, err := c.run(ctx, name, key, k.url)
	if err != nil {
		said += " " + err.Error() // most clients end with a status of their own when they are refused
	}
	if !k.want.MatchString(said) {
		fmt.Printf("%s, %s: %s\n", c.name, k.name, said)
		return "failed"
	}
	return "passed"
}

// first is the first match of a program's own words on its version.
func first(pattern string, args ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if _, err := exec.LookPath(args[0]); err != nil {
			return "", fmt.Errorf("no %s", filepath.Base(args[0]))
		}
		ctx, cancel := context.WithTimeout(ctx, clientTime)
		defer cancel()
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s does not run", strings.Join(args, " "))
		}
		if found := regexp.MustCompile(pattern).FindSubmatch(out); found != nil {
			return string(found[1]), nil
		}
		return "?", nil
	}
}
