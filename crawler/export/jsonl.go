package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sward/crawler"
)

// lines are a job's documents, one a line, each as the API has it.
type lines struct {
	ctx  context.Context //nolint:containedctx // of the request that reads
	from *crawler.Crawler
	job  crawler.Job
	list []crawler.Delivered

	chunk []json.RawMessage // the documents from first on
	first int
}

func (l *lines) Len() int         { return len(l.list) }
func (l *lines) Size(i int) int64 { return int64(l.list[i].Size) + 1 }
func (l *lines) Close() error     { return nil }

func (l *lines) ReadAt(i int, off int64, p []byte) error {
	text, err := l.document(i)
	if err != nil {
		return err
	}
	if n := copy(p, text[off:]); n < len(p) {
		p[n] = '\n'
	}
	return nil
}

// document reads ahead: the next ones are asked for soon.
func (l *lines) document(i int) (json.RawMessage, error) {
	if i < l.first || i >= l.first+len(l.chunk) {
		chunk, err := l.from.Documents(l.ctx, l.job, i, min(crawler.MaxDocuments, len(l.list)-i))
		if err != nil {
			return nil, err
		}
		if len(chunk) == 0 {
			return nil, errors.New("a document is not there any more")
		}
		l.first, l.chunk = i, chunk
	}
	text := l.chunk[i-l.first]
	if len(text) != l.list[i].Size {
		return nil, fmt.Errorf("a document has %d bytes, the store says %d", len(text), l.list[i].Size)
	}
	return text, nil
}
