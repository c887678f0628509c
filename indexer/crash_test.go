package indexer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"
)

// crashDir, when set, turns the test binary into the process that is killed.
const crashDir = "SWARD_INDEXER_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := putForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// putForEver puts batches of growing numbers, now and then deletes a page, and says what was
// acknowledged.
func putForEver(dir string) error {
	x, err := Open(Config{Dir: dir, Shards: 2})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for n := 0; ; n++ {
		var batch []Document
		for i := range 1 + n%7 {
			batch = append(batch, crashDocument(fmt.Sprintf("p%dn%di%d", os.Getpid(), n, i)))
		}
		if err := x.Put(ctx, batch...); err != nil {
			return err
		}
		for _, d := range batch {
			fmt.Println("put", d.Title)
		}
		if n%5 == 4 {
			fmt.Println("deleting", batch[0].Title) // from here on the page may be gone, whatever is said later
			if err := x.Delete(ctx, batch[0].URL); err != nil {
				return err
			}
			fmt.Println("deleted", batch[0].Title)
		}
	}
}

func crashDocument(word string) Document {
	return Document{URL: "https://" + word + ".example/", Title: word, Text: strings.Repeat("common "+word+" ", 50)}
}

// TestKillLosesNoAcknowledgedPage kills the writer again and again, each time a little later in its
// work, and looks for everything it was told is safe.
func TestKillLosesNoAcknowledgedPage(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	there := make(map[string]bool) // word to: was put (true) or deleted (false)
	for round := range rounds {
		killAfter(t, dir, 3+round*11, there)
		x := openAt(t, dir)
		for word, want := range there {
			d := crashDocument(word)
			if got := found(t, x, word); want != (len(got) == 1 && got[0] == d.URL) || !want && got != nil {
				t.Errorf("round %d: acknowledged %s (put: %v): found %v", round, word, want, got)
			}
		}
		expectNoDuplicates(t, x)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(there) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*.damaged-*")); aside != nil {
		t.Errorf("a kill damaged a shard: %v", aside)
	}
}

// killAfter runs the writer, notes what it says, and kills it when it has said so many lines.
func killAfter(t *testing.T, dir string, lines int, there map[string]bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for n := 0; said.Scan(); n++ {
		if n == lines {
			child.Process.Kill() // what it says until it is dead counts too
		}
		switch what, word, _ := strings.Cut(said.Text(), " "); what {
		case "put", "deleted":
			there[word] = what == "put"
		case "deleting":
			delete(there, word)
		}
	}
	child.Wait()
}

// expectNoDuplicates compares the shards with the page store, in which an address is unique.
func expectNoDuplicates(t *testing.T, x *Index) {
	t.Helper()
	var pages int
	if err := x.pages.db.QueryRow(`SELECT count(*) FROM pages`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if n, err := x.Count(); n != pages || err != nil {
		t.Errorf("%d documents in the shards, %v; %d pages in the store", n, err, pages)
	}
}

func TestDamagedShardIsRebuiltFromThePageStore(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, shard string)
		aside  bool
	}{
		{"flipped bit", func(t *testing.T, s string) {
			rewrite(t, zap(t, s), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}, true},
		{"cut segment", func(t *testing.T, s string) { rewrite(t, zap(t, s), func(b []byte) []byte { return b[:len(b)/2] }) }, true},
		{"empty segment", func(t *testing.T, s string) { rewrite(t, zap(t, s), func([]byte) []byte { return nil }) }, true},
		{"lost segment", func(t *testing.T, s string) { remove(t, zap(t, s)) }, true},
		{"garbage segment", func(t *testing.T, s string) { rewrite(t, zap(t, s), garbage) }, true},
		{"empty root", func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "store/root.bolt"), func([]byte) []byte { return nil })
		}, true},
		{"cut root", func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "store/root.bolt"), func(b []byte) []byte { return b[:len(b)/3] })
		}, true},
		{"garbage root", func(t *testing.T, s string) { rewrite(t, filepath.Join(s, "store/root.bolt"), garbage) }, true},
		{"lost root", func(t *testing.T, s string) { remove(t, filepath.Join(s, "store/root.bolt")) }, true},
		{"lost meta", func(t *testing.T, s string) { remove(t, filepath.Join(s, "index_meta.json")) }, true},
		{"empty meta", func(t *testing.T, s string) {
			rewrite(t, filepath.Join(s, "index_meta.json"), func([]byte) []byte { return nil })
		}, true},
		{"lost shard", func(t *testing.T, s string) { remove(t, s) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			x := openAt(t, dir)
			put(t, x, garden...)
			x.Close()
			c.damage(t, filepath.Join(dir, fmt.Sprintf("shard-%02d", shardOf("meadow.example", 2))))
			x = openAt(t, dir)
			if got := found(t, x, "meadow"); len(got) != 3 {
				t.Errorf("got %v, want 3 pages", got)
			}
			expectNoDuplicates(t, x)
			aside, _ := filepath.Glob(filepath.Join(dir, "*.damaged-*"))
			if (len(aside) == 1) != c.aside {
				t.Errorf("set aside: %v, want %v", aside, c.aside)
			}
		})
	}
}

func TestShardThatFailsWhileOpenIsRebuiltNextTime(t *testing.T) {
	dir := t.TempDir()
	x := openAt(t, dir)
	put(t, x, garden...)
	failed := x.shards[shardOf("meadow.example", 2)]
	scorch.RegistryAsyncErrorCallbacks[asyncCallback](errors.New("merger: a panic"), failed.storePath())
	late := Document{URL: "https://meadow.example/late", Text: "a late page of the meadow"}
	if err := x.Put(t.Context(), late); !errors.Is(err, ErrDamaged) {
		t.Errorf("put to a failed shard: got %v, want %v", err, ErrDamaged)
	}
	if err := x.Put(t.Context(), Document{URL: "https://town.example/other", Text: "other"}); err != nil {
		t.Errorf("put to the other shard: %v", err)
	}
	x.Close()
	x = openAt(t, dir)
	if got := found(t, x, "meadow"); len(got) != 4 {
		t.Errorf("got %v, want 3 pages and the late one", got)
	}
}

func TestPanicInAShardIsAnError(t *testing.T) {
	x := openAt(t, t.TempDir())
	put(t, x, garden...)
	s := x.shards[shardOf("meadow.example", 2)]
	s.engine = explosive{s.engine}
	if _, err := x.Search(t.Context(), Query{Text: "meadow"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("search: got %v, want %v", err, ErrDamaged)
	}
}

// explosive is a bleve index that meets damage only when it is read.
type explosive struct{ engine }

func (explosive) SearchInContext(context.Context, *bleve.SearchRequest) (*bleve.SearchResult, error) {
	panic("index out of range")
}

func zap(t *testing.T, shard string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shard, "store", "*.zap"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segment in %s: %v", shard, err)
	}
	return files[0]
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func garbage(b []byte) []byte {
	for n := range b {
		b[n] = byte(n * 131)
	}
	return b
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
