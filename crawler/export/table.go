package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"sward/crawler"
)

// A row group is what a reader of a table has in memory at a time, and so has its writer.
const (
	groupRows  = 1000
	groupBytes = 32 << 20 // of documents' JSON
)

// row is a document as a table has it: what is often asked for has a column of its own, and Metadata has everything.
type row struct {
	URL         string    `parquet:"url"`
	SourceURL   string    `parquet:"source_url"`
	Status      int32     `parquet:"status"`
	ContentType string    `parquet:"content_type,dict"`
	FetchedAt   time.Time `parquet:"fetched_at,timestamp(millisecond)"`
	Title       string    `parquet:"title"`
	Description string    `parquet:"description"`
	Language    string    `parquet:"language,dict"`
	Markdown    string    `parquet:"markdown"`
	HTML        string    `parquet:"html"`
	RawHTML     string    `parquet:"raw_html"`
	Links       []string  `parquet:"links,list"`
	Images      []string  `parquet:"images,list"`

	SHA256     string `parquet:"sha256"` // of the body
	Simhash    string `parquet:"text_simhash"`
	Truncated  string `parquet:"truncated,dict"`
	Edge       string `parquet:"edge,dict"`
	Exit       string `parquet:"exit,dict"`
	Execution  string `parquet:"execution,dict"`
	Audited    string `parquet:"audited,dict"`
	RobotsRule string `parquet:"robots_rule,dict"`
	Extractor  string `parquet:"extractor,dict"`
	WARCFile   string `parquet:"warc_file,dict"`
	WARCOffset int64  `parquet:"warc_offset"`
	WARCLength int64  `parquet:"warc_length"`
	WARCID     string `parquet:"warc_id"`
	Rights     string `parquet:"rights,json"`
	Metadata   string `parquet:"metadata,json"`
}

// newRow reads a document. What it lacks stays empty.
func newRow(document json.RawMessage) (row, error) {
	var d struct {
		Markdown, HTML, RawHTML string
		Links, Images           []string
		Metadata                json.RawMessage
	}
	var m struct {
		URL, SourceURL, ContentType, Title, Description, Language string
		StatusCode                                                int32
		Provenance                                                struct {
			Edge, Exit, Execution, SHA256, Truncated, RobotsRule, Audited, Extractor, TextSimhash string

			FetchedAt time.Time
			Rights    json.RawMessage
			WARC      struct {
				File, ID       string
				Offset, Length int64
			}
		}
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return row{}, fmt.Errorf("read document: %w", err)
	}
	if err := json.Unmarshal(d.Metadata, &m); err != nil {
		return row{}, fmt.Errorf("read document: %w", err)
	}
	p := m.Provenance
	if len(p.Rights) == 0 {
		p.Rights = json.RawMessage("{}")
	}
	return row{
		URL: m.URL, SourceURL: m.SourceURL, Status: m.StatusCode, ContentType: m.ContentType, FetchedAt: p.FetchedAt,
		Title: m.Title, Description: m.Description, Language: m.Language,
		Markdown: d.Markdown, HTML: d.HTML, RawHTML: d.RawHTML, Links: d.Links, Images: d.Images,
		SHA256: p.SHA256, Simhash: p.TextSimhash, Truncated: p.Truncated, Edge: p.Edge, Exit: p.Exit, Execution: p.Execution,
		Audited: p.Audited, RobotsRule: p.RobotsRule, Extractor: p.Extractor,
		WARCFile: p.WARC.File, WARCOffset: p.WARC.Offset, WARCLength: p.WARC.Length, WARCID: p.WARC.ID,
		Rights: string(p.Rights), Metadata: string(d.Metadata),
	}, nil
}

// writeTable writes a job's first n documents.
func writeTable(ctx context.Context, to io.Writer, from *crawler.Crawler, j crawler.Job, n int) error {
	table := parquet.NewGenericWriter[row](to, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("sward", "1", ""),
		parquet.KeyValueMetadata("crawl", j.ID))
	rows, size := 0, 0
	for done := 0; done < n; {
		chunk, err := from.Documents(ctx, j, done, n-done)
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			return fmt.Errorf("the store has %d of %d documents", done, n)
		}
		for _, document := range chunk {
			r, err := newRow(document)
			if err != nil {
				return err
			}
			if _, err := table.Write([]row{r}); err != nil {
				return fmt.Errorf("write table: %w", err)
			}
			rows, size = rows+1, size+len(document)
			if rows < groupRows && size < groupBytes {
				continue
			}
			if err := table.Flush(); err != nil {
				return fmt.Errorf("write table: %w", err)
			}
			rows, size = 0, 0
		}
		done += len(chunk)
	}
	if err := table.Close(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}
