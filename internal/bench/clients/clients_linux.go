package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"sward/internal/bench/rig"
)

//go:embed scripts/*.py scripts/*.mjs
var scripts embed.FS

// client is one way in which somebody would use the door.
type client struct {
	name    string
	version func(context.Context) (string, error) // an error is the word with which it is skipped
	run     func(ctx context.Context, name, key, url string) (said string, err error)
	denied  *regexp.Regexp // what it shows when the key is wrong
	refused *regexp.Regexp // and when the target is refused
}

// prepare writes the scripts where they find their node_modules.
func (l *lab) prepare(p plan) error {
	l.scripts = filepath.Join(l.rig.Dir, "scripts")
	if err := os.CopyFS(l.rig.Dir, scripts); err != nil {
		return err
	}
	var err error
	if l.cache, err = filepath.Abs(p.cache); err != nil {
		return err
	}
	modules := filepath.Join(l.cache, "node_modules")
	if _, err := os.Stat(modules); err != nil {
		return nil //nolint:nilerr // the clients that need them are skipped
	}
	return os.Symlink(modules, filepath.Join(l.scripts, "node_modules"))
}

// What refusals look like through a proxy that answers in HTTP, and through one that answers in SOCKS.
var (
	denied  = regexp.MustCompile(`\b407\b`)
	refused = regexp.MustCompile(`\b403\b`)
)

// clients in the order of the table.
func (l *lab) clients() []client {
	plain := "http://" + l.net.Door
	all := []client{
		l.curl("curl, http proxy", plain),
		l.curl("curl, socks5h", "socks5h://"+l.net.Door),
		l.wget(plain),
		l.script("Python urllib", first(`Python (\S+)`, python, "--version"), python, "urllib_page.py"),
		l.script("Python requests", first(`(\S+)`, python, "-c", "import requests; print(requests.__version__)"), python, "requests_page.py"),
		l.script("Scrapy", first(`Scrapy (\S+)`, "scrapy", "version"), python, "scrapy_page.py"),
		l.goHTTP("Go net/http", plain),
		l.goHTTP("Go net/http, socks5h", "socks5h://"+l.net.Door),
		l.undici("Node undici", plain),
		l.chromium("Chromium, --proxy-server", plain),
	}
	secure := "https://" + rig.TLSDoor
	all = append(all,
		l.curl("curl, https proxy", secure),
		l.curlH2(secure),
		l.goHTTP("Go net/http, https proxy", secure),
		l.undici("Node undici, https proxy", secure),
		l.h2(secure),
		l.chromium("Chromium, https proxy (h2)", secure),
		l.h3(),
	)
	return all
}

// python is Debian's: what it packages for Python is there, whatever else is first on the path.
const python = "/usr/bin/python3"

// withKey is a proxy's URL with credentials in it.
func withKey(proxy, name, key string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return proxy
	}
	u.User = url.UserPassword(name, key)
	return u.String()
}

// command runs a program in the street.
func (l *lab) command(ctx context.Context, env []string, args ...string) (string, error) {
	return l.rig.Street.Output(ctx, l.rig.Dir, env, args...)
}

// curl is the system's.
func (l *lab) curl(name, proxy string) client {
	c := client{name: name, denied: denied, refused: refused, version: first(`curl (\S+)`, "curl", "--version")}
	if strings.HasPrefix(proxy, "socks") {
		c.denied, c.refused = regexp.MustCompile(`rejected by the SOCKS5 server`), regexp.MustCompile(`SOCKS5 connection to \S+\. \(2\)`)
	}
	c.run = func(ctx context.Context, name, key, url string) (string, error) {
		return l.command(ctx, nil, l.curlArgs("curl", proxy, name, key, url)...)
	}
	return c
}

func (l *lab) curlArgs(binary, proxy, name, key, url string, flags ...string) []string {
	args := []string{binary, "-sS", "-i", "--max-time", "20", "--cacert", l.ca, "--proxy-cacert", l.ca, "--proxy", proxy, "--proxy-user", name + ":" + key}
	return append(append(args, flags...), url)
}

// curlH2 is curl with HTTP/2 to the proxy, which is younger than many a system's curl: newer-curl.sh gets one.
func (l *lab) curlH2(proxy string) client {
	binary, env := "curl", []string(nil)
	if newer := filepath.Join(l.cache, "curl", "usr", "bin", "curl"); isFile(newer) {
		libraries, _ := filepath.Glob(filepath.Join(l.cache, "curl", "usr", "lib", "*-linux-gnu")) //nolint:errcheck // the pattern is good
		binary, env = newer, []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
	}
	const flag = "--proxy-http2"
	// Over HTTP/2 curl keeps the proxy's status to itself (seen with 8.14.1): a refused CONNECT is an error without one.
	return client{name: "curl, h2 proxy", denied: denied, refused: regexp.MustCompile(`curl: \(56\) Failure when receiving data`),
		version: func(ctx context.Context) (string, error) {
			help, err := l.command(ctx, env, binary, "--help", "all")
			if err != nil || !strings.Contains(help, flag) {
				return "", errors.New("this curl has no " + flag + " (8.1 has)")
			}
			version, err := l.command(ctx, env, binary, "--version")
			return strings.Fields(version + " ? ?")[1], err
		},
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.command(ctx, env, l.curlArgs(binary, proxy, name, key, url, flag)...)
		}}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (l *lab) wget(proxy string) client {
	return client{name: "wget", denied: denied, refused: regexp.MustCompile(`tunneling failed: Forbidden`), version: first(`Wget (\S+)`, "wget", "--version"),
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.command(ctx, []string{"http_proxy=" + proxy, "https_proxy=" + proxy},
				"wget", "-nv", "-S", "-O", "-", "--tries=1", "--timeout=20", "--ca-certificate="+l.ca, "--proxy-user="+name, "--proxy-password="+key, url)
		}}
}

// script is a Python script that takes the proxy with its key, the page and the certificate.
func (l *lab) script(name string, version func(context.Context) (string, error), interpreter, file string) client {
	return client{name: name, denied: denied, refused: refused, version: version,
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.command(ctx, []string{"no_proxy=", "NO_PROXY="}, interpreter, filepath.Join(l.scripts, file), withKey("http://"+l.net.Door, name, key), url, l.ca)
		}}
}

// module is the version of a package of node's, or that it is not there.
func (l *lab) module(of string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		if _, err := exec.LookPath("node"); err != nil {
			return "", errors.New("no node")
		}
		data, err := os.ReadFile(filepath.Join(l.scripts, "node_modules", of, "package.json"))
		if err != nil {
			return "", fmt.Errorf("no %s: make clients installs it", of)
		}
		found := regexp.MustCompile(`"version": "([^"]+)"`).FindSubmatch(data)
		if found == nil {
			return "", errors.New(of + " has no version")
		}
		return string(found[1]), nil
	}
}

func (l *lab) undici(name, proxy string) client {
	return client{name: name, denied: denied, refused: refused, version: l.module("undici"),
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.command(ctx, nil, "node", filepath.Join(l.scripts, "undici_page.mjs"), proxy, name, key, url, l.ca)
		}}
}

func (l *lab) h2(proxy string) client {
	return client{name: "Node http2, CONNECT over h2", denied: denied, refused: refused, version: first(`v(\S+)`, "node", "--version"),
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.command(ctx, nil, "node", filepath.Join(l.scripts, "h2_page.mjs"), proxy, name, key, url, l.ca)
		}}
}

// chromium shows an error of its own for a CONNECT that was refused: the door's answer belongs to the proxy, not to the
// site, and a browser keeps it to itself. So the refusal is that error, and a wrong key is one more question for it.
func (l *lab) chromium(name, proxy string) client {
	browser := chromiumPath()
	modules := l.module("playwright-core")
	return client{name: name,
		denied:  regexp.MustCompile(`\b407\b|ERR_(UNEXPECTED_PROXY_AUTH|PROXY_AUTH_UNSUPPORTED|INVALID_AUTH_CREDENTIALS|TOO_MANY_RETRIES)`),
		refused: regexp.MustCompile(`ERR_TUNNEL_CONNECTION_FAILED`),
		version: func(ctx context.Context) (string, error) {
			if _, err := modules(ctx); err != nil {
				return "", err
			}
			return first(`Chrom\S* (\S+)`, browser, "--version")(ctx)
		},
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.command(ctx, nil, "node", filepath.Join(l.scripts, "chromium_page.mjs"), browser, proxy, name, key, url)
		}}
}

// chromiumPath is the first of a browser's usual names that is there.
func chromiumPath() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return "chromium"
}

// goHTTP is this program's own http.Transport.
func (l *lab) goHTTP(name, proxy string) client {
	c := client{name: name, denied: denied, refused: regexp.MustCompile(`\b403\b|Forbidden`),
		version: func(context.Context) (string, error) { return strings.TrimPrefix(runtime.Version(), "go"), nil },
		run: func(ctx context.Context, name, key, url string) (string, error) {
			return l.fetch(ctx, withKey(proxy, name, key), url)
		}}
	if strings.HasPrefix(proxy, "socks") {
		c.denied, c.refused = regexp.MustCompile(`authentication failed`), regexp.MustCompile(`not allowed by ruleset`)
	}
	return c
}
