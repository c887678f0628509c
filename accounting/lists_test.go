package accounting

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// The lists travel whole and bound to the hub's signature: a client takes nothing but what the directory names.
func TestListsAreThoseThatTheDirectoryNames(t *testing.T) {
	n := newTown(t)
	ctx := context.Background()
	list := bytes.Repeat([]byte("any bytes at all \x00\xff"), 10_000)
	n.must(n.book.SetList("v1", list))
	d, err := n.book.Directory(ctx)
	n.must(err)
	version := d.Lists[ListCategories]
	if !strings.HasPrefix(version, "v1 sha256:") {
		t.Errorf("the directory names the lists %q", version)
	}
	edge := n.client(n.serve(), n.edge)
	got, err := edge.List(ctx, version)
	n.must(err)
	if !bytes.Equal(got, list) {
		t.Errorf("%d bytes came, want %d", len(got), len(list))
	}
	n.must(n.book.SetList("v2", []byte("others")))
	if _, err := edge.List(ctx, version); err == nil {
		t.Error("other lists than those that were asked for were taken")
	}
	if _, err := edge.List(ctx, "v2"); err == nil {
		t.Error("lists without a digest were taken")
	}
	n.must(n.book.SetList("", nil))
	d, err = n.book.Directory(ctx)
	n.must(err)
	if len(d.Lists) != 0 {
		t.Errorf("the directory still names %v", d.Lists)
	}
	if _, err := edge.List(ctx, version); err == nil {
		t.Error("lists that are gone were answered")
	}
}
