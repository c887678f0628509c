package edge

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

func directoryOf(version string, list []byte) accounting.Directory {
	return accounting.Directory{Lists: map[string]string{accounting.ListCategories: accounting.ListVersion(version, list)}}
}

// The operator closes a site: a running stream to it is cut, the relay hears of another policy, and the edge is as strict
// after a restart without the hub. Closing is all that lists can do.
func TestTheHubsListsCloseSitesAndStayClosed(t *testing.T) {
	table, err := policy.BuildTable("v1", map[string]string{"gambling": "site.example\n", "surprise": "other.example\n"})
	if err != nil {
		t.Fatal(err)
	}
	r := newTestRelay(t)
	dir := t.TempDir()
	e, stop := testEdge(t, r, echo(t), func(c *Config) { c.Dir = dir })
	s := r.next()
	before := e.terms().policy.Digest()
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	r.hub.mu.Lock()
	r.hub.list = table
	r.hub.mu.Unlock()
	began := time.Now()
	if err := e.followLists(t.Context(), directoryOf("v1", table)); err != nil {
		t.Fatal(err)
	}
	if err := st.SetReadDeadline(began.Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Read(make([]byte, 1)); wire.CodeOf(err) != wire.CategoryDenied {
		t.Errorf("the running stream: got %v, want it cut with %s within 5 s", err, wire.CategoryDenied)
	}
	st.end()
	if _, err := s.open(t.Context(), r.grant(), "site.example", 80); wire.CodeOf(err) != wire.CategoryDenied {
		t.Errorf("a new stream: got %v, want %s", err, wire.CategoryDenied)
	}
	if a, err := e.Ask("other.example"); err != nil || a.Allowed || a.Decided.Where != "policy.categories.surprise" {
		t.Errorf("a category that nobody here knows: got %+v, %v", a, err)
	}
	if e.terms().policy.Digest() == before {
		t.Error("the digest that relays hear is that of before")
	}
	if err := e.Change(e.Settings()); err != nil {
		t.Fatal(err)
	}
	if a, err := e.Ask("site.example"); err != nil || a.Allowed {
		t.Errorf("a change of settings has opened what the hub closed: %+v, %v", a, err)
	}
	r.hub.setAway(true)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	again, _ := testEdge(t, r, echo(t), func(c *Config) { c.Dir = dir })
	<-again.Opened()
	if a, err := again.Ask("site.example"); err != nil || a.Allowed {
		t.Errorf("after a restart: got %+v, %v", a, err)
	}
	if err := again.followLists(t.Context(), accounting.Directory{}); err != nil { // the operator takes them back
		t.Fatal(err)
	}
	if a, err := again.Ask("site.example"); err != nil || !a.Allowed || again.terms().policy.Digest() != before {
		t.Errorf("taken back: got %+v, %v", a, err)
	}
}

// Lists that are damaged, on the way or on disk, change nothing.
func TestDamagedListsChangeNothing(t *testing.T) {
	good, err := policy.BuildTable("v1", map[string]string{"gambling": "site.example\n"})
	if err != nil {
		t.Fatal(err)
	}
	r := newTestRelay(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, listsFile), good[:len(good)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	e, _ := testEdge(t, r, echo(t), func(c *Config) { c.Dir = dir })
	r.next()
	before := e.terms().policy.Digest()
	if a, err := e.Ask("site.example"); err != nil || !a.Allowed {
		t.Errorf("a cut file on disk: got %+v, %v", a, err)
	}
	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	if err := e.followLists(t.Context(), directoryOf("v1", good)); err == nil {
		t.Error("a hub without the lists that it names: no error")
	}
	r.hub.mu.Lock()
	r.hub.list = bad
	r.hub.mu.Unlock()
	if err := e.followLists(t.Context(), directoryOf("v2", bad)); err == nil {
		t.Error("what is no table was taken")
	}
	if e.terms().policy.Digest() != before {
		t.Error("the policy has changed")
	}
	if data, err := os.ReadFile(filepath.Join(dir, listsFile)); err != nil && !errors.Is(err, os.ErrNotExist) || len(data) != len(good)-1 {
		t.Errorf("the file has changed: %d bytes, %v", len(data), err)
	}
}
