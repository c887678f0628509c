package crawler

import (
	"context"
	"fmt"
	"os"

	"sward/crawler/warc"
)

// Delivered is one document of a job without its text: enough to know where it will lie in an export.
type Delivered struct {
	Size   int           // bytes of its JSON
	Place  warc.Location // of the exchange with its body in the archive: File, Offset and Records are set
	Beside warc.Location // likewise, of what the archive has for this job alone: a revisit, a conversion; it may be empty
}

// Delivered lists a job's first n documents, in the order of Documents. It reads no document.
func (c *Crawler) Delivered(ctx context.Context, j Job, n int) ([]Delivered, error) {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	if err != nil {
		return nil, err
	}
	rows, err := c.store.rows(ctx,
		`SELECT size, archive_file, archive_at, archive_bytes, beside_file, beside_at, beside_bytes
		FROM documents WHERE job = ? ORDER BY seq LIMIT ?`, row.id, n)
	if err != nil {
		return nil, fmt.Errorf("list documents: %w", err)
	}
	defer rows.Close()
	list := make([]Delivered, 0, min(n, row.completed))
	for rows.Next() {
		var d Delivered
		if err := rows.Scan(&d.Size, &d.Place.File, &d.Place.Offset, &d.Place.Records,
			&d.Beside.File, &d.Beside.Offset, &d.Beside.Records); err != nil {
			return nil, fmt.Errorf("list documents: %w", err)
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// ArchiveFile opens a file of the archive by the name that documents have.
func (c *Crawler) ArchiveFile(name string) (*os.File, error) { return c.archive.OpenFile(name) }
