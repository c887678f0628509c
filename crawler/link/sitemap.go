package link

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html/charset"
)

// The sitemap protocol's own limits (sitemaps.org/protocol.html), which we hold for every format.
const (
	maxSitemapBytes = 50 << 20 // decoded
	maxSitemapURLs  = 50_000
	maxSitemapDepth = 32      // elements inside one another; the formats need five
	maxSitemapText  = 4 << 10 // bytes of one address before it is judged
)

// Refusals of ParseSitemap.
var (
	ErrSitemapDoctype = errors.New("sitemap declares a document type") // the door of entity expansion and XXE
	ErrSitemapSize    = errors.New("sitemap is larger than 50 MiB decoded")
	ErrSitemapFormat  = errors.New("neither a sitemap, a feed nor a list of addresses")
)

// Sitemap is what a site lists of itself: pages, and further sitemaps to read.
type Sitemap struct {
	URLs     []string // pages, canonical, each once, in file order
	Sitemaps []string // entries of a sitemap index, likewise

	Said map[string]Said // of pages, by address; those of which nothing is said are missing
}

// Said is what a site says of a page in its sitemap, beside that there is one.
type Said struct {
	Priority float64   // from 0 to 1; 0.5 where it says nothing, as the protocol has it
	Modified time.Time // zero: it does not say
}

// ParseSitemap reads a urlset, a sitemap index, an RSS or Atom feed, or a plain list of addresses,
// each optionally gzipped (told by its first bytes, because servers label it in every way). At most
// limit addresses are returned, and never more than 50 000; the rest is cut off without an error.
// Nothing but r is read: no entity, no document type and no schema is ever resolved. A file that
// breaks off keeps what was read before the break, and the error says where.
func ParseSitemap(r io.Reader, limit int) (Sitemap, error) {
	if limit <= 0 || limit > maxSitemapURLs {
		limit = maxSitemapURLs
	}
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return Sitemap{}, fmt.Errorf("unpack sitemap: %w", err)
		}
		defer z.Close()
		in = bufio.NewReader(z)
	}
	in = bufio.NewReader(&cappedReader{r: in, left: maxSitemapBytes})
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		if _, err := in.Discard(len(bom)); err != nil {
			return Sitemap{}, fmt.Errorf("read sitemap: %w", err)
		}
	}
	pages, maps := NewSet(nil, limit), NewSet(nil, limit)
	said := make(map[string]Said)
	var err error
	if isXML(in) {
		err = readSitemapXML(in, pages, maps, said)
	} else {
		err = readSitemapText(in, pages)
	}
	if len(said) == 0 {
		said = nil
	}
	return Sitemap{URLs: pages.list, Sitemaps: maps.list, Said: said}, err
}

// cappedReader fails, unlike io.LimitedReader, so that a cut sitemap is not taken for a whole one.
type cappedReader struct {
	r    io.Reader
	left int64
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, ErrSitemapSize
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func isXML(in *bufio.Reader) bool {
	head, _ := in.Peek(512)
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("<"))
}

// readSitemapXML walks the four XML formats in one pass. In all of them an address is the text or
// the href of an element whose parent names its kind, so a path of two names decides.
func readSitemapXML(in io.Reader, pages, maps *Set, said map[string]Said) error {
	d := xml.NewDecoder(in)
	d.CharsetReader = charset.NewReaderLabel
	var path []string
	var text strings.Builder
	known := false
	before, of := 0, Said{Priority: middling} // of the entry that is being read
	for len(pages.list) < pages.limit && len(maps.list) < maps.limit {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read sitemap: %w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return ErrSitemapDoctype
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if len(path) > maxSitemapDepth {
				return fmt.Errorf("read sitemap: elements nested deeper than %d", maxSitemapDepth)
			}
			if len(path) == 1 {
				known = isSitemapRoot(t.Name.Local)
			}
			if !known {
				return ErrSitemapFormat
			}
			text.Reset()
			if place(path) == "urlset/url" {
				before, of = len(pages.list), Said{Priority: middling}
			}
			if place(path) == "entry/link" {
				pages.Add(atomLink(t.Attr))
			}
		case xml.CharData:
			if text.Len()+len(t) <= maxSitemapText {
				text.Write(t)
			}
		case xml.EndElement:
			switch value := strings.TrimSpace(text.String()); place(path) {
			case "url/loc", "item/link":
				pages.Add(value)
			case "sitemap/loc":
				maps.Add(value)
			case "url/priority":
				if p, err := strconv.ParseFloat(value, 64); err == nil && p >= 0 && p <= 1 {
					of.Priority = p
				}
			case "url/lastmod":
				of.Modified = lastmod(value)
			case "urlset/url":
				if len(pages.list) > before && of != (Said{Priority: middling}) {
					said[pages.list[before]] = of
				}
			}
			text.Reset()
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		}
	}
	if !known {
		return ErrSitemapFormat
	}
	return nil
}

// middling is the priority of a page of which the site says none (sitemaps.org).
const middling = 0.5

// lastmod reads a W3C date: sitemaps use the forms with a day, with or without a time.
func lastmod(value string) time.Time {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if at, err := time.Parse(form, value); err == nil {
			return at
		}
	}
	return time.Time{}
}

func isSitemapRoot(name string) bool {
	switch name {
	case "urlset", "sitemapindex", "rss", "RDF", "feed":
		return true
	}
	return false
}

// place names the innermost element and its parent.
func place(path []string) string {
	if len(path) < 2 {
		return ""
	}
	return path[len(path)-2] + "/" + path[len(path)-1]
}

// atomLink returns the address of an Atom entry's page: rel="alternate", which is also the default
// (RFC 4287 §4.2.7.2).
func atomLink(attrs []xml.Attr) (href string) {
	for _, a := range attrs {
		switch a.Name.Local {
		case "href":
			href = a.Value
		case "rel":
			if a.Value != "alternate" {
				return ""
			}
		}
	}
	return href
}

// readSitemapText reads one address a line. A file in which no line is one is no sitemap: sites
// answer with a page of their own where there is none.
func readSitemapText(in io.Reader, pages *Set) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, maxSitemapText), maxSitemapText)
	for len(pages.list) < pages.limit && lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if u, err := url.Parse(line); err == nil && u.IsAbs() {
			pages.Add(line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read sitemap: %w", err)
	}
	if len(pages.list) == 0 {
		return ErrSitemapFormat
	}
	return nil
}
