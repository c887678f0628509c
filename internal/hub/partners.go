package hub

import (
	"context"
	"errors"
	"html"
	"strings"
	"time"

	"sward/accounting"
	"sward/crawler"
	"sward/crawler/api"
	"sward/indexer"
)

const (
	// creditBytes is what clients that count in pages take a page for: half of the web's pages have less than 33 KiB of
	// HTML as it travels (HTTP Archive), and robots.txt, sitemaps and second roads come on top. Bills are in bytes.
	creditBytes = 64 << 10
	// shownMonths is how far back an account's use is told in credits; the ledger answers for 400 days at a time.
	shownMonths = 12
)

// partnersAPI is the crawl API, joined to the books and to the index.
func (h *Hub) partnersAPI() *api.API {
	return api.New(api.Config{
		Crawler: h.Crawler, Authorise: h.authorise, Credits: h.credits, Spent: h.spent, Search: h.find, Export: h.exports.Serve, Log: h.cfg.Log,
	})
}

// credits is an account's balance in pages. The period is the calendar month: it bounds nothing, for a balance does not
// lapse, but clients show one.
func (h *Hub) credits(ctx context.Context, a crawler.Account) (c api.Credits, err error) {
	if c.Bytes, err = h.Book.Left(a.ID); err != nil {
		return c, err
	}
	c.Remaining = int64(c.Bytes / creditBytes) //nolint:gosec // 2⁶⁴ / 2¹⁶
	c.Start, c.End = month(h.cfg.Clock())
	c.Plan = c.Remaining
	return c, nil
}

// spent is what an account was billed for, by month, oldest first.
func (h *Hub) spent(ctx context.Context, a crawler.Account) (list []api.Period, err error) {
	start, _ := month(h.cfg.Clock())
	start = start.AddDate(0, 1-shownMonths, 0)
	used, err := h.Book.UsageBetween(ctx, accounting.UsageQuery{Name: a.ID, From: start.Format(time.DateOnly)})
	if err != nil {
		return nil, err
	}
	for _, day := range used.Days { // ascending
		at, err := time.Parse(time.DateOnly, day.Day)
		if err != nil {
			return nil, err
		}
		from, to := month(at)
		if len(list) == 0 || !list[len(list)-1].Start.Equal(from) {
			list = append(list, api.Period{Start: from, End: to})
		}
		list[len(list)-1].Bytes += day.Up + day.Down
	}
	for i := range list {
		list[i].Credits = int64((list[i].Bytes + creditBytes - 1) / creditBytes) //nolint:gosec // likewise
	}
	return list, nil
}

// month is the UTC calendar month that t is in.
func month(t time.Time) (start, end time.Time) {
	year, m, _ := t.UTC().Date()
	start = time.Date(year, m, 1, 0, 0, 0, 0, time.UTC)
	return start, start.AddDate(0, 1, 0)
}

// find asks the web index.
func (h *Hub) find(ctx context.Context, q api.Question) ([]api.Found, error) {
	results, err := h.Index.Search(ctx, indexer.Query{Text: q.Text, Limit: min(q.Limit, indexer.MaxLimit)})
	if refused, ok := errors.AsType[*indexer.QueryError](err); ok {
		return nil, &api.QuestionError{Err: refused}
	}
	if err != nil {
		return nil, err
	}
	found := make([]api.Found, 0, len(results.Hits))
	for _, hit := range results.Hits {
		found = append(found, api.Found{URL: hit.URL, Title: hit.Title, Description: unmarked(hit.Snippet)})
	}
	return found, nil
}

// unmarked is a snippet of the index as plain text.
func unmarked(snippet string) string {
	return html.UnescapeString(strings.NewReplacer("<mark>", "", "</mark>", "").Replace(snippet))
}
