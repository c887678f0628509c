package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"sward/accounting"
	"sward/internal/sandbox"
)

const (
	crawlPoll  = 200 * time.Millisecond
	crawlLimit = 10 * time.Minute // for a site of thousands of pages on two slow cores
	settleWait = 20 * time.Second // for the last receipts to be signed, sent and booked

	wantQueries  = 3
	shortestWord = 5 // letters of a word worth searching for
)

// tour does what the three kinds of user do, through the same doors, and says what it sees.
type tour struct {
	out  io.Writer
	info sandbox.Info
	net  *sandbox.Sandbox
	bar  bool // draw a moving bar: out is a terminal

	queries []string // what to search for; empty: words of the crawled titles
}

// run walks through all five sights; the first that is not as it should be ends it.
func (t *tour) run(ctx context.Context) error {
	steps := []struct {
		title string
		show  func(context.Context) error
	}{
		{"A partner fetches an HTTPS page through a home connection", t.proxy},
		{"A data buyer crawls the whole site through the edges", t.crawl},
		{"A search front-end queries what was crawled", t.search},
		{"The edges' owners look at what they earned", t.points},
		{"An auditor replays the books from their files", t.audit},
	}
	for i, step := range steps {
		fmt.Fprintf(t.out, "\n%d/%d  %s\n", i+1, len(steps), step.title)
		if err := step.show(ctx); err != nil {
			return fmt.Errorf("tour, step %d: %w", i+1, err)
		}
	}
	return nil
}

func (t *tour) proxy(ctx context.Context) error {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(t.info.CA)
	if err != nil {
		return err
	}
	pool.AppendCertsFromPEM(pem)
	door, err := url.Parse(t.info.Proxy)
	if err != nil {
		return err
	}
	door.User = url.UserPassword(t.info.Partner, t.info.Key)
	exit := ""
	transport := &http.Transport{
		Proxy:           http.ProxyURL(door),
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			exit = answer.Header.Get("Sward-Edge")
			return nil
		},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.info.SiteTLS+"/", nil)
	if err != nil {
		return err
	}
	began := time.Now()
	answer, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || exit == "" {
		return fmt.Errorf("status %d, exit %q", answer.StatusCode, exit)
	}
	fmt.Fprintf(t.out, "     %s/  %d, %d bytes in %s\n", t.info.SiteTLS, answer.StatusCode, len(body), time.Since(began).Round(time.Millisecond))
	fmt.Fprintf(t.out, "     TLS ran from here to the site; the exit was edge %s\n", exit)
	return nil
}

// crawlStatus is the part of Firecrawl's answer that the tour reads.
type crawlStatus struct {
	Success   bool   `json:"success"`
	ID        string `json:"id"`
	Status    string `json:"status"`
	Completed int    `json:"completed"`
	Total     int    `json:"total"`
	Error     string `json:"error"`
}

func (t *tour) crawl(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, crawlLimit)
	defer cancel()
	order := map[string]any{
		"url": t.info.Site + "/", "limit": 10000, "crawlEntireDomain": true,
		"scrapeOptions": map[string]any{"formats": []string{"markdown"}, "onlyMainContent": true},
	}
	var started crawlStatus
	if err := t.api(ctx, http.MethodPost, "/v2/crawl", order, &started); err != nil {
		return err
	}
	began := time.Now()
	for last := -1; ; {
		var now crawlStatus
		if err := t.api(ctx, http.MethodGet, "/v2/crawl/"+started.ID+"?limit=1", nil, &now); err != nil {
			return err
		}
		if t.bar || now.Completed*10/max(now.Total, 1) != last || now.Status != "scraping" {
			t.progress(now, time.Since(began))
			last = now.Completed * 10 / max(now.Total, 1)
		}
		if now.Status != "scraping" {
			if t.bar {
				fmt.Fprintln(t.out)
			}
			now.ID = started.ID
			return t.crawled(ctx, now, time.Since(began))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(crawlPoll):
		}
	}
}

func (t *tour) progress(s crawlStatus, took time.Duration) {
	const width = 40
	full := width * s.Completed / max(s.Total, 1)
	line := fmt.Sprintf("     [%s%s] %d/%d pages, %.0f a second", strings.Repeat("#", full), strings.Repeat("·", width-full),
		s.Completed, s.Total, float64(s.Completed)/max(took.Seconds(), 0.1))
	if t.bar {
		fmt.Fprintf(t.out, "\r%s ", line)
	} else {
		fmt.Fprintln(t.out, line)
	}
}

func (t *tour) crawled(ctx context.Context, s crawlStatus, took time.Duration) error {
	if s.Status != "completed" || s.Completed == 0 {
		return fmt.Errorf("the crawl is %s with %d pages %s", s.Status, s.Completed, s.Error)
	}
	var failures struct {
		Errors        []json.RawMessage `json:"errors"`
		RobotsBlocked []string          `json:"robotsBlocked"`
	}
	if err := t.api(ctx, http.MethodGet, "/v2/crawl/"+s.ID+"/errors", nil, &failures); err != nil {
		return err
	}
	if len(t.queries) == 0 {
		if err := t.queriesFromTitles(ctx, s.ID); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.out, "     %d pages in %s, %d failed, %d left alone because robots.txt asks so\n",
		s.Completed, took.Round(100*time.Millisecond), len(failures.Errors)-len(failures.RobotsBlocked), len(failures.RobotsBlocked))
	return nil
}

// queriesFromTitles takes a word from each of three crawled titles, the one that the fewest other titles have.
func (t *tour) queriesFromTitles(ctx context.Context, job string) error {
	var page struct {
		Data []struct {
			Metadata struct {
				Title string `json:"title"`
			} `json:"metadata"`
		} `json:"data"`
	}
	if err := t.api(ctx, http.MethodGet, "/v2/crawl/"+job+"?limit=60", nil, &page); err != nil {
		return err
	}
	titles := make([][]string, len(page.Data))
	common := map[string]int{}
	for i, d := range page.Data {
		titles[i] = strings.FieldsFunc(strings.ToLower(d.Metadata.Title), func(r rune) bool { return !unicode.IsLetter(r) })
		for _, word := range titles[i] {
			common[word]++
		}
	}
	for i := 0; i < len(titles) && len(t.queries) < wantQueries; i += max(1, len(titles)/wantQueries) {
		best := ""
		for _, word := range titles[i] {
			long, rarer := len(word) >= shortestWord, best == "" || common[word] < common[best]
			if long && rarer && !slices.Contains(t.queries, word) {
				best = word
			}
		}
		if best != "" {
			t.queries = append(t.queries, best)
		}
	}
	if len(t.queries) == 0 {
		return errors.New("no crawled page has a title")
	}
	return nil
}

func (t *tour) search(ctx context.Context) error {
	for _, query := range t.queries {
		var found struct {
			Total   int `json:"total"`
			Results []struct {
				URL, Title, Snippet string
				Provenance          struct{ Edge, Hash string }
			} `json:"results"`
		}
		if err := t.get(ctx, t.info.Search+"/search?limit=1&q="+url.QueryEscape(query), &found); err != nil {
			return err
		}
		if found.Total == 0 {
			return fmt.Errorf("nothing found for %q", query)
		}
		hit := found.Results[0]
		fmt.Fprintf(t.out, "     %q: %d pages, best %s\n", query, found.Total, hit.URL)
		fmt.Fprintf(t.out, "       %s\n", plain(hit.Snippet))
		fmt.Fprintf(t.out, "       fetched by …%s, sha256 %.12s…\n", tail(hit.Provenance.Edge), hit.Provenance.Hash)
	}
	return nil
}

// points waits until the books stand still: the last receipts need a moment to be signed and sent.
func (t *tour) points(ctx context.Context) error {
	earned, err := t.net.Settled(ctx, settleWait)
	if err != nil {
		return err
	}
	sum := accounting.Micro(0)
	for _, e := range earned {
		fmt.Fprintf(t.out, "     edge …%s  %12s points for %s\n", tail(e.Edge.String()), e.Points, size(e.Bytes))
		sum += e.Points
	}
	if sum == 0 {
		return errors.New("no edge earned anything")
	}
	return nil
}

func (t *tour) audit(ctx context.Context) error {
	report, err := accounting.Audit(ctx, filepath.Join(t.net.Dir(), "hub", "books"))
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(report.String()), "\n") {
		fmt.Fprintf(t.out, "     %s\n", line)
	}
	return nil
}

// api calls the crawl API.
func (t *tour) api(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, t.info.API+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+t.info.Key)
	request.Header.Set("Content-Type", "application/json")
	return fetchJSON(request, out)
}

func (t *tour) get(ctx context.Context, address string, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return fetchJSON(request, out)
}

func fetchJSON(request *http.Request, out any) error {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d: %s", request.Method, request.URL.Path, answer.StatusCode, data)
	}
	return json.Unmarshal(data, out)
}

// plain turns a highlighted snippet into a line for a terminal.
func plain(snippet string) string {
	s := strings.NewReplacer("<mark>", "*", "</mark>", "*", "&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&quot;", `"`, "&amp;", "&").Replace(snippet)
	return strings.Join(strings.Fields(s), " ")
}

func tail(id string) string { return id[max(0, len(id)-8):] }

func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
