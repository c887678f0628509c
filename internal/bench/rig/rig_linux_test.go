package rig

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRigJoinsStreetHomeAndSiteAndLeavesNothing(t *testing.T) {
	for _, link := range []bool{false, true} {
		r, err := New(Config{Link: link, Seed: 1})
		if errors.Is(err, ErrMissing) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ServeSite(Blob(nil)); err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return r.Street.Dial(ctx, address, net.Dialer{})
		}}}
		answer, err := client.Get("http://" + Site + "/blob?n=100000")
		if err != nil {
			t.Fatalf("link %v: %v", link, err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || len(body) != 100000 {
			t.Errorf("link %v: %d bytes, %v; want 100000", link, len(body), err)
		}
		program, err := r.Home.Start(r.Dir, "sleeper", "sleep", "600")
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		select {
		case <-program.over:
		case <-time.After(10 * time.Second):
			t.Error("a program outlived its namespace")
		}
		if _, err := os.Stat(r.Dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there", r.Dir)
		}
	}
}

func TestReplaceKeepsWhatIsAroundTheMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte("before\n<!-- wan -->\nold\n<!-- /wan -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table := Table{Head: []string{"a", "b"}, Rows: [][]string{{"x", "1"}}}
	if err := Replace(file, "wan", table.String()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n<!-- wan -->\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n\n<!-- /wan -->\nafter\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := Replace(file, "peers", "x"); err == nil || !strings.Contains(err.Error(), "<!-- peers -->") {
		t.Errorf("a document without marks: %v", err)
	}
}

func TestPairedRatioComparesRoundsNotTotals(t *testing.T) {
	if got := PairedRatio([]float64{10, 100, 30}, []float64{5, 50, 10}); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("the median of an even number is %v, want 2.5", got)
	}
}
