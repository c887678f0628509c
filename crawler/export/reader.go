package export

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// pieces are a file in parts that are made when somebody reads them. Their lengths are known before.
type pieces interface {
	Len() int
	Size(i int) int64
	// ReadAt fills p with the bytes of piece i from off on; p ends with the piece at the latest.
	ReadAt(i int, off int64, p []byte) error
	Close() error
}

// reader is pieces as one file.
type reader struct {
	pieces
	ends   []int64 // where each piece ends
	at     int64
	failed error // of reading, which HTTP's code does not report
}

var _ io.ReadSeeker = (*reader)(nil)

func newReader(p pieces) *reader {
	r := &reader{pieces: p, ends: make([]int64, p.Len())}
	var end int64
	for i := range r.ends {
		end += p.Size(i)
		r.ends[i] = end
	}
	return r
}

func (r *reader) size() int64 {
	if len(r.ends) == 0 {
		return 0
	}
	return r.ends[len(r.ends)-1]
}

// Read reads to the end of a piece at most.
func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size() {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > r.at })
	p = p[:min(int64(len(p)), r.ends[i]-r.at)]
	if err := r.ReadAt(i, r.at-(r.ends[i]-r.Size(i)), p); err != nil {
		r.failed = fmt.Errorf("make part %d: %w", i, err)
		return 0, r.failed
	}
	r.at += int64(len(p))
	return len(p), nil
}

// Seek sets where the next Read starts.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size()
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	r.at = offset
	return offset, nil
}
