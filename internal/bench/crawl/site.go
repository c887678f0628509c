package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// serveFolder serves dir until ctx ends, or until whoever started it has gone and standard input with it.
func serveFolder(ctx context.Context, dir string, out io.Writer) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, l.Addr())
	server := &http.Server{Handler: files(dir), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // any end is the end
		server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// files serves what is in dir under its own name. http.FileServer would redirect every index.html to its folder.
func files(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := http.Dir(dir).Open(path.Clean("/" + r.URL.Path))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || info.IsDir() {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, info.Name(), info.ModTime(), file)
	})
}

// startSite serves the folder in another process, so that what it costs is not counted, and returns its host and port.
func startSite(ctx context.Context, dir string) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	child := exec.CommandContext(ctx, self, "-serve", dir)
	in, err := child.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	said, err := child.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := child.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		in.Close()
		child.Wait() //nolint:errcheck // it was told to end
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start the site: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// walk is the independent list of what a crawl should find: the HTML files of dir that links lead to from start, read
// from the disk and by a parser, with no code of the crawler.
func walk(dir, start string) (map[string]bool, error) {
	found := map[string]bool{}
	todo := []string{"/" + start}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if found[at] {
			continue
		}
		file, err := os.Open(filepath.Join(dir, filepath.FromSlash(at)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		doc, err := html.Parse(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		found[at] = true
		base := &url.URL{Scheme: "http", Host: "site", Path: at}
		for n := range doc.Descendants() {
			if n.DataAtom != atom.A {
				continue
			}
			for _, a := range n.Attr {
				to, err := base.Parse(a.Val)
				if a.Key == "href" && err == nil && to.Host == "site" && to.Scheme == "http" && path.Ext(to.Path) == ".html" {
					todo = append(todo, to.Path)
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no page %s: install a documentation package, or name another folder", dir, start)
	}
	return found, nil
}
