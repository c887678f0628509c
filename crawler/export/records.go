package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sward/crawler"
	"sward/crawler/warc"
)

// records are a job's archived exchanges as they lie in the archive, behind a warcinfo of their own. A page that two
// documents are of is there once.
type records struct {
	from  *crawler.Crawler
	head  []byte
	place []warc.Location // of piece i+1

	file *os.File // the one read last
	name string
}

func newRecords(from *crawler.Crawler, j crawler.Job, list []crawler.Delivered) (*records, error) {
	// Nothing here counts the documents: what was handed out stays the beginning of what will be.
	head, err := warc.Header("urn:uuid:"+j.ID, j.ID+formats["warc"].suffix, j.Created, "isPartOf: "+j.ID)
	if err != nil {
		return nil, err
	}
	r := &records{from: from, head: head, place: make([]warc.Location, 0, len(list))}
	files := make(map[string]bool)
	seen := make(map[warc.Location]bool, len(list))
	for _, d := range list {
		for _, place := range []warc.Location{d.Place, d.Beside} {
			if place.File != "" && !seen[place] {
				seen[place] = true
				r.place = append(r.place, place)
				files[place.File] = true
			}
		}
	}
	for name := range files { // before the first byte is promised
		f, err := from.ArchiveFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errMoved
		}
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	return r, nil
}

// errMoved is the refusal of a job whose records are not here.
var errMoved = errors.New("the operator has moved records of this job away: take the format jsonl or parquet")

func (r *records) Len() int { return 1 + len(r.place) }

func (r *records) Size(i int) int64 {
	if i == 0 {
		return int64(len(r.head))
	}
	return r.place[i-1].Records
}

func (r *records) ReadAt(i int, off int64, p []byte) error {
	if i == 0 {
		copy(p, r.head[off:])
		return nil
	}
	at := r.place[i-1]
	if r.name != at.File {
		r.Close()
		f, err := r.from.ArchiveFile(at.File)
		if err != nil {
			return err
		}
		r.file, r.name = f, at.File
	}
	if _, err := r.file.ReadAt(p, at.Offset+off); err != nil {
		return fmt.Errorf("read archive file: %w", err)
	}
	return nil
}

func (r *records) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file, r.name = nil, ""
	return err
}
