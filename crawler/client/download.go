package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	headWait  = 16 * time.Minute // for an export's first byte: a table is made first
	stallWait = time.Minute      // for the next bytes
)

// download brings the export of a job into a file, from where an earlier one stopped. each is told how far it is; total is
// -1 if the hub does not say.
func (c *Client) download(ctx context.Context, p *pickup, file *os.File, each func(done, total int64)) error {
	return c.persist(ctx, func() (bool, error) {
		done, err := file.Seek(0, io.SeekEnd)
		if err != nil {
			return false, &Refused{Text: err.Error()} // the disk does not mend itself
		}
		n, err := c.stretch(ctx, p, file, done, each)
		return n > 0, err
	})
}

// stretch asks for the bytes from done on, and appends what comes of them.
func (c *Client) stretch(ctx context.Context, p *pickup, file *os.File, done int64, each func(done, total int64)) (n int64, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watch := time.AfterFunc(headWait, func() { stop(errors.New("the hub does not answer")) })
	defer watch.Stop()

	header := http.Header{}
	if done > 0 && p.ETag != "" {
		header.Set("Range", fmt.Sprintf("bytes=%d-", done))
		header.Set("If-Range", p.ETag)
	}
	answer, err := c.send(ctx, http.MethodGet, jobPath(p.Job)+"/export?format="+url.QueryEscape(p.Format), nil, header)
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer answer.Body.Close()
	total := answer.ContentLength
	switch answer.StatusCode {
	case http.StatusOK: // from the start: it is the first time, or the file has changed
		done = 0
		if err := startOver(p, file, answer.Header); err != nil {
			return 0, &Refused{Text: err.Error()}
		}
	case http.StatusPartialContent:
		from, size, ok := contentRange(answer.Header.Get("Content-Range"))
		if !ok || from != done || answer.Header.Get("ETag") != p.ETag {
			return 0, &Refused{Text: "the hub answers with another part of the file than was asked for"}
		}
		total = size
	case http.StatusRequestedRangeNotSatisfiable:
		if _, size, ok := contentRange(answer.Header.Get("Content-Range")); ok && size == done {
			return 0, nil // all of it was here
		}
		p.ETag = "" // from the start
		return 0, fmt.Errorf("the file has fewer than %d bytes", done)
	default:
		return 0, refusal(answer)
	}
	buffer := make([]byte, 256<<10)
	for {
		watch.Reset(stallWait)
		got, err := answer.Body.Read(buffer)
		if got > 0 {
			if _, err := file.Write(buffer[:got]); err != nil {
				return n, &Refused{Text: err.Error()}
			}
			n += int64(got)
			each(done+n, total)
		}
		if errors.Is(err, io.EOF) && (total < 0 || done+n == total) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("download: %w", cause(ctx, err))
		}
	}
}

// cause is why a context ended where that is why something failed.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// startOver empties the file, and notes first what its bytes will be.
func startOver(p *pickup, file *os.File, h http.Header) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	p.ETag = h.Get("ETag")
	p.Documents, _ = strconv.Atoi(h.Get("Sward-Documents")) // 0: not said, and not checked
	return p.save()
}

// contentRange reads "bytes from-to/size" and "bytes */size".
func contentRange(s string) (from, size int64, ok bool) {
	span, text, found := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	size, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil {
		return 0, 0, false
	}
	first, _, _ := strings.Cut(span, "-")
	if first == "*" {
		return 0, size, true
	}
	from, err = strconv.ParseInt(first, 10, 64)
	return from, size, err == nil
}
