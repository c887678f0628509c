package hub

import (
	"testing"
	"time"

	"sward/crawler"
	"sward/indexer"
)

func TestWithdrawnPagesLeaveTheIndex(t *testing.T) {
	index, err := indexer.Open(indexer.Config{Dir: t.TempDir(), Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	h := &Hub{Index: index}
	const kept, gone = "http://site.test/kept", "http://site.test/gone"
	page := func(address string) crawler.Page {
		return crawler.Page{URL: address, Title: "meadow", Text: "grass and clover", Fetched: time.UnixMilli(1)}
	}
	leaves := crawler.Page{URL: gone, Withdrawn: true}
	respelt := page(kept + "/index.html")
	respelt.Also = []string{kept}
	for _, batch := range []struct {
		pages []crawler.Page
		found int
	}{
		{[]crawler.Page{page(kept), page(gone)}, 2},
		{[]crawler.Page{leaves}, 1},
		{[]crawler.Page{leaves, page(gone)}, 2}, // it came back
		{[]crawler.Page{page(gone), leaves}, 1}, // it came and went
		{[]crawler.Page{respelt}, 1},
		{[]crawler.Page{page(kept), respelt}, 1},
	} {
		if err := h.store(t.Context(), batch.pages...); err != nil {
			t.Fatal(err)
		}
		if found, err := index.Search(t.Context(), indexer.Query{Text: "clover"}); err != nil || found.Total != batch.found {
			t.Errorf("pages found after %d were stored: got %d, %v; want %d", len(batch.pages), found.Total, err, batch.found)
		}
	}
}
