// Package text reads what a page says: from the bytes a server sent to Markdown, harmless HTML and plain text, with the
// facts that the page states about itself.
//
// Extract is the one door. A page goes through decode (charset), parse (a bounded tree), hidden (what no person sees goes),
// article (the passages that are the page's own) and launder (nothing that acts stays), and is then written three ways.
// Pages come from strangers: every step is bounded, and none of them runs or loads anything.
package text

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/RadhiFadlillah/whatlanggo"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds of one page's extraction. Pages come from strangers: the parser, the extractor and the
// converter are all linear on honest pages, and these numbers hold on the others.
const (
	maxPageBytes  = 16 << 20        // bytes of a page before and after decoding
	maxNodes      = 150_000         // tags and texts; a book of 1 MB in one page has 30 000
	maxLinks      = 5_000           // addresses kept from one page
	extractBudget = 2 * time.Second // wall time, if nothing else is asked for; an honest page of 200 KB takes 20 ms
	LongestBudget = 20 * time.Second
	maxHeadings   = 100
	maxMetaText   = 1 << 10 // bytes of a title, description, heading or other one-line fact
)

// extractorName goes into a document's provenance: another version may see another text.
const extractorName = "go-trafilatura 1.12.2, go-readability 20241012, html-to-markdown 2.5.2"

// Failures of Extract that a caller tells apart.
var (
	ErrNotText  = errors.New("content is not text")
	ErrTooLarge = errors.New("document is too large to extract")
	ErrBudget   = errors.New("extraction took too long")
)

// Content is what a page says, made safe to hand on: valid UTF-8 without control characters, without
// scripts, styles and text that a person would not have seen, with only http, https and mailto
// links. It is still a stranger's text, to be treated as data and never as instructions.
type Content struct {
	Title, Description string
	Language           string // ISO 639 code, declared by the page or else detected
	Author, Published  string // Published in RFC 3339 where the page's own form could be read
	Markdown           string // CommonMark with tables; images are links, so that reading loads nothing
	HTML               string // the content's elements with harmless attributes
	Plain              string // the same without markup, a block a line
	Headings           []string
	Canonical          string            // rel=canonical as the page claims it; the caller judges whether to believe it
	Robots             string            // content of meta robots, and of the tag with our name, lower case
	TDMReservation     string            // content of meta tdm-reservation (W3C TDMRep)
	TDMPolicy          string            // and of tdm-policy
	Licences           []string          // rel=license that name an RSL document, absolute
	OG                 map[string]string // Open Graph properties, without the og: prefix
	Links              []string          // absolute and canonical, each once, in document order
	Images             []string          // likewise
	Shown              int               // bytes of text that the whole page shows, whatever of it was taken
	Said               int               // of these, the bytes outside of links
	Password           bool              // it asks for one
	Hidden             bool              // the page hides text from people; dropped, unless it is most of the page
	Extractor          string            // name and version
}

// Options chooses what of a page is taken. Zero values mean the defaults.
type Options struct {
	MainOnly    bool     // leave out navigation, advertisements and the like
	IncludeTags []string // CSS selectors: only these parts
	ExcludeTags []string // CSS selectors: none of these parts
	MaxNodes    int      // tags and texts read; what follows is cut off
	MaxLinks    int
	Budget      time.Duration
}

func (o Options) withDefaults() Options {
	if o.MaxNodes <= 0 || o.MaxNodes > maxNodes {
		o.MaxNodes = maxNodes
	}
	if o.MaxLinks <= 0 || o.MaxLinks > maxLinks {
		o.MaxLinks = maxLinks
	}
	if o.Budget <= 0 {
		o.Budget = extractBudget
	}
	o.Budget = min(o.Budget, LongestBudget)
	return o
}

// extractSlots bounds the extractions that run at once, those included whose caller gave up: a
// parser cannot be interrupted, so a page that is slow on purpose keeps its slot, and no more.
var extractSlots = make(chan struct{}, 2*runtime.NumCPU())

// Extract reads a page of the given Content-Type that was found at base. It fails with ErrNotText
// for anything but text, with ErrTooLarge above 16 MiB and with ErrBudget when the page takes
// longer than the options allow. A page without content is no failure.
func Extract(ctx context.Context, body []byte, contentType string, base *url.URL, o Options) (Content, error) {
	if len(body) > maxPageBytes {
		return Content{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), maxPageBytes)
	}
	o = o.withDefaults()
	selection, err := compileSelection(o.IncludeTags, o.ExcludeTags)
	if err != nil {
		return Content{}, err
	}
	select {
	case extractSlots <- struct{}{}:
	case <-ctx.Done():
		return Content{}, fmt.Errorf("wait to extract: %w", ctx.Err())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Budget, ErrBudget)
	defer cancel()
	type outcome struct {
		text Content
		err  error
	}
	done := make(chan outcome, 1)
	go func() { // not waited for: see extractSlots
		defer func() { <-extractSlots }()
		defer func() {
			if r := recover(); r != nil { // the libraries below were not written for hostile pages
				done <- outcome{err: fmt.Errorf("extract: parser failed: %v", r)}
			}
		}()
		text, err := extract(ctx, body, contentType, base, o, selection)
		done <- outcome{text, err}
	}()
	select {
	case out := <-done:
		return out.text, out.err
	case <-ctx.Done():
		return Content{}, fmt.Errorf("extract: %w", context.Cause(ctx))
	}
}

func extract(ctx context.Context, body []byte, contentType string, base *url.URL, o Options, sel selection) (Content, error) {
	form, source, err := decodeDocument(body, contentType)
	if err != nil {
		return Content{}, err
	}
	if form == formPlain {
		return plainDocument(source), nil
	}
	doc, sheets, err := parseDocument(source, o.MaxNodes)
	if err != nil {
		return Content{}, fmt.Errorf("extract: %w", err)
	}
	from := documentBase(doc, base)
	text := readMeta(doc, from)
	text.Extractor = extractorName
	text.Links, text.Images = collectLinks(doc, from, o.MaxLinks)
	dropped := dropHidden(doc, sheets)
	text.Shown, text.Said = amount(doc)
	if ctx.Err() != nil {
		return Content{}, context.Cause(ctx)
	}
	tidyCode(doc)
	content := sel.apply(doc, from, o.MainOnly)
	stripped := launder(content, from)
	text.Hidden = dropped || stripped
	if ctx.Err() != nil {
		return Content{}, context.Cause(ctx)
	}
	text.Headings = headings(content)
	text.Plain = plainText(content)
	if text.HTML, err = renderChildren(content); err != nil {
		return Content{}, fmt.Errorf("extract: write html: %w", err)
	}
	if text.Markdown, err = toMarkdown(ctx, content); err != nil {
		return Content{}, fmt.Errorf("extract: write markdown: %w", err)
	}
	if text.Title == "" && len(text.Headings) > 0 {
		text.Title = text.Headings[0]
	}
	if text.Language == "" {
		text.Language = detectLanguage(text.Plain)
	}
	return text, nil
}

// plainDocument is a document that was not HTML. Its text stays as it is, which for Markdown means
// inside a fence that nothing in it can close.
func plainDocument(source string) Content {
	fence := "```"
	for strings.Contains(source, fence) {
		fence += "`"
	}
	plain := strings.TrimSpace(Clean(source))
	text := Content{Plain: plain, Shown: len(plain), Said: len(plain), Extractor: extractorName, Language: detectLanguage(plain)}
	if plain != "" {
		text.Markdown = fence + "\n" + plain + "\n" + fence
		text.HTML = "<pre>" + html.EscapeString(plain) + "</pre>"
	}
	return text
}

// detectLanguage guesses from the first words, and says nothing if it is not sure.
func detectLanguage(text string) string {
	const enough = 4 << 10 // bytes, and the detector takes time for each of them
	if len(text) > enough {
		text = strings.ToValidUTF8(text[:enough], "")
	}
	if info := whatlanggo.Detect(text); info.IsReliable() {
		return info.Lang.Iso6391()
	}
	return ""
}

// headings returns the text of the content's h1 to h3, in order.
func headings(content *html.Node) (list []string) {
	for n := range content.Descendants() {
		switch n.DataAtom {
		case atom.H1, atom.H2, atom.H3:
			if line := Line(textOf(n), maxMetaText); line != "" && len(list) < maxHeadings {
				list = append(list, line)
			}
		}
	}
	return list
}
