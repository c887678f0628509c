package hub

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/policy"
)

// The operator's files are in the signed directory; a fault in one leaves what was there.
func TestListsFollowTheOperatorsFiles(t *testing.T) {
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	book, err := accounting.OpenBook(accounting.BookConfig{Dir: t.TempDir(), Key: key, Network: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	dir := filepath.Join(t.TempDir(), ListsDir)
	l, err := openLists(dir, book, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	version := func() string {
		t.Helper()
		d, err := book.Directory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d, err = accounting.VerifyDirectory("test", key.ID(), d.Bytes(), time.Now()); err != nil {
			t.Fatal(err)
		}
		return d.Lists[accounting.ListCategories]
	}
	if got := version(); got != "" {
		t.Errorf("without files the directory names lists %q", got)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("gambling.txt", "newcasino.example\n")
	write("gambling.txt~", "an editor's copy\n")
	if n, err := l.refresh(); err != nil || n != 1 {
		t.Fatalf("refresh: %d, %v; want 1 entry", n, err)
	}
	first := version()
	if _, ok := accounting.ListDigest(first); !ok {
		t.Errorf("the directory names lists %q, want a version and a digest", first)
	}
	if n, err := l.refresh(); err != nil || n != -1 || version() != first {
		t.Errorf("unchanged files: %d, %v", n, err)
	}
	write("tax.txt", "good.example\nno domain\n")
	if _, err := l.refresh(); err == nil || !strings.Contains(err.Error(), "list tax, line 2") || version() != first {
		t.Errorf("a fault: got %v, want it named and the old lists kept", err)
	}
	write("tax.txt", "good.example\n")
	if n, err := l.refresh(); err != nil || n != 2 || version() == first {
		t.Errorf("mended: %d, %v, version %s", n, err, version())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if n, err := l.refresh(); err != nil || n != 0 || version() != "" {
		t.Errorf("removed: %d, %v, version %q", n, err, version())
	}
	write("Bad Name.txt", "x.example\n")
	if _, err := openLists(dir, book, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a hub began with a list of no category")
	}
	if policy.Describe("gambling") == "" {
		t.Error("the test's category is none")
	}
}
