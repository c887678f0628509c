package indexer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/search/query"
)

// Bounds of one search.
const (
	MaxQuery  = 512  // bytes
	MaxTerms  = 16   // different words that count
	MaxLimit  = 100  // results
	MaxOffset = 1000 // a person never gets there, and each result before it has to be ranked

	defaultLimit = 10
	searchBudget = time.Second

	// strictTerms is the number of words that a page must all have. More are a sentence, in which a page
	// with every word is an accident.
	strictTerms = 5

	boostTitle    = 2.0
	boostHeadings = 1.3
)

// Query is a search. Its text is only ever words: there are no operators, fields or wildcards.
type Query struct {
	Text   string
	Limit  int // default 10
	Offset int
}

// Results are what a search found, best first.
type Results struct {
	Total int // pages found, not only the ones returned
	Took  time.Duration
	Loose bool // the pages have some of the words, not all
	Hits  []Hit
}

// Hit is one page found.
type Hit struct {
	URL, Title string // plain text, to be escaped by whoever shows it
	Snippet    string // HTML: escaped text of the page, with <mark> around the words found
	Score      float64
	Language   string
	Fetched    time.Time
	Edge, Hash string
}

// QueryError is a refusal of a query: a stable code, and a sentence for whoever asked.
type QueryError struct{ Code, Message string }

func (e *QueryError) Error() string { return e.Message }

// ErrSearchBudget says that the search took longer than a second and was given up.
var ErrSearchBudget = errors.New("the search took too long")

// Search finds the pages that have every word of a query, in the title, a heading or the text. If
// there is none, or the query is a sentence, it finds the pages that have some, those with more and
// rarer ones first. It fails with a *QueryError if the query is not one.
func (x *Index) Search(ctx context.Context, q Query) (Results, error) {
	terms, err := q.terms()
	if err != nil {
		return Results{}, err
	}
	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, searchBudget, ErrSearchBudget)
	defer cancel()

	out := Results{Loose: len(terms) > strictTerms}
	found, err := x.find(ctx, q, &bm25Query{terms: terms, all: !out.Loose, meanBody: x.lengths.mean()})
	if err == nil && found.Total == 0 && !out.Loose && len(terms) > 1 {
		out.Loose = true
		found, err = x.find(ctx, q, &bm25Query{terms: terms, meanBody: x.lengths.mean()})
	}
	if err != nil {
		return Results{}, err
	}
	out.Total = int(found.Total)
	for _, match := range found.Hits {
		page, have, err := x.pages.get(ctx, match.ID)
		if err != nil {
			return Results{}, budgeted(ctx, err)
		}
		if !have {
			continue // removed, and on its way out of the shard
		}
		out.Hits = append(out.Hits, Hit{
			URL: page.URL, Title: page.Title, Snippet: snippet(page.Text, terms), Score: match.Score,
			Language: page.Language, Fetched: page.Fetched, Edge: page.Edge, Hash: page.Hash,
		})
	}
	out.Took = time.Since(started)
	return out, nil
}

// find asks all shards. An answer from only some of them would silently miss pages: it is an error.
func (x *Index) find(ctx context.Context, q Query, what query.Query) (*bleve.SearchResult, error) {
	limit := q.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	request := bleve.NewSearchRequestOptions(what, limit, q.Offset, false)
	request.SortBy([]string{"-_score", "_id"}) // equal scores keep their order from page to page
	result, err := x.alias.SearchInContext(ctx, request)
	if err != nil {
		return nil, budgeted(ctx, err)
	}
	for name, err := range result.Status.Errors {
		return nil, budgeted(ctx, fmt.Errorf("search %s: %w", name, err))
	}
	return result, nil
}

// budgeted names the budget where it was the reason.
func budgeted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// queryTerms are the different words of a query as the shards know them, in the query's order.
type queryTerms []queryTerm

type queryTerm struct {
	text  string
	times int // a word that a sentence repeats counts that much more
}

func (t queryTerms) find(text string) int {
	return slices.IndexFunc(t, func(term queryTerm) bool { return term.text == text })
}

func (q Query) terms() (queryTerms, error) {
	switch {
	case len(q.Text) > MaxQuery:
		return nil, &QueryError{"query_too_long", fmt.Sprintf("The query is %d bytes long; at most %d are allowed.", len(q.Text), MaxQuery)}
	case q.Limit < 0 || q.Limit > MaxLimit:
		return nil, &QueryError{"bad_limit", fmt.Sprintf("The limit must be a number from 1 to %d.", MaxLimit)}
	case q.Offset < 0 || q.Offset > MaxOffset:
		return nil, &QueryError{"bad_offset", fmt.Sprintf("The offset must be a number from 0 to %d.", MaxOffset)}
	}
	terms := distinct(analyse(prose, q.Text))
	if len(terms) == 0 {
		terms = distinct(analyse(titles, q.Text)) // nothing but stop words, which titles keep
	}
	switch {
	case len(terms) == 0:
		return nil, &QueryError{"empty_query", "The query has no words to search for."}
	case len(terms) > MaxTerms:
		return nil, &QueryError{"too_many_terms", fmt.Sprintf("The query has %d different words; at most %d are allowed.", len(terms), MaxTerms)}
	}
	return terms, nil
}

func distinct(stream analysis.TokenStream) (terms queryTerms) {
	for _, token := range stream {
		if n := terms.find(string(token.Term)); n >= 0 {
			terms[n].times++
			continue
		}
		terms = append(terms, queryTerm{string(token.Term), 1})
	}
	return terms
}
