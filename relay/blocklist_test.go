package relay

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sward/policy"
)

func TestBlocklistFollowsItsFileAndOutlivesABrokenOne(t *testing.T) { // B16
	path := filepath.Join(t.TempDir(), "list")
	written := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		written = written.Add(time.Minute)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(b *blocklists, host string) bool {
		t.Helper()
		h, err := policy.ParseHost(host)
		if err != nil {
			t.Fatal(err)
		}
		return b.check(h) != nil
	}
	write("bad.example.com\n")
	b, err := openBlocklists(slog.New(slog.DiscardHandler), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	if !refused(b, "www.bad.example.com") || refused(b, "worse.example.com") {
		t.Error("the first list is not what is in force")
	}
	for _, step := range []struct {
		text       string
		bad, worse bool
	}{
		{"worse.example.com\n", false, true},
		{"worse.example.com\nnot a host\n", false, true}, // broken: the one before stays
		{"bad.example.com\nworse.example.com\n", true, true},
	} {
		write(step.text)
		if err := b.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := refused(b, "bad.example.com"); got != step.bad {
			t.Errorf("after %q: bad.example.com refused %v, want %v", step.text, got, step.bad)
		}
		if got := refused(b, "worse.example.com"); got != step.worse {
			t.Errorf("after %q: worse.example.com refused %v, want %v", step.text, got, step.worse)
		}
	}
	if _, err := openBlocklists(slog.New(slog.DiscardHandler), []string{path + ".gone"}); err == nil {
		t.Error("a relay starts without a list that it was told to keep to")
	}
}
