package crawler

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"sward/crawler/link"
	"sward/crawler/text"
)

// Bounds on what a partner may ask of one job.
const (
	defaultLimit = 10_000  // documents, Firecrawl's default
	maxLimit     = 100_000 // documents
	maxPatterns  = 1000    // entries of includePaths and of excludePaths, as in Firecrawl
	maxPattern   = 2000    // bytes of one of them
	maxSteps     = 50_000  // that repetitions add to all of them, once compiled: x{1000} is a thousand steps of 40 bytes
	maxDelay     = 60      // seconds between requests a partner may ask for

	defaultTimeout = 60_000  // milliseconds a scrape may take
	minTimeout     = 1_000   // likewise
	maxTimeout     = 300_000 // likewise
)

// Order is what a partner asks of a job, in the names of Firecrawl's v2 API. Fields it does not
// name are ignored, because every release of the SDKs sends new ones.
type Order struct {
	URL                    string        `json:"url"`
	IncludePaths           []string      `json:"includePaths,omitempty"`
	ExcludePaths           []string      `json:"excludePaths,omitempty"`
	RegexOnFullURL         bool          `json:"regexOnFullURL,omitempty"`
	MaxDiscoveryDepth      *int          `json:"maxDiscoveryDepth,omitempty"`
	Sitemap                string        `json:"sitemap,omitempty"`
	IgnoreQueryParameters  bool          `json:"ignoreQueryParameters,omitempty"`
	DeduplicateSimilarURLs *bool         `json:"deduplicateSimilarURLs,omitempty"`
	Limit                  *int          `json:"limit,omitempty"`
	CrawlEntireDomain      bool          `json:"crawlEntireDomain,omitempty"`
	AllowExternalLinks     bool          `json:"allowExternalLinks,omitempty"`
	AllowSubdomains        bool          `json:"allowSubdomains,omitempty"`
	Delay                  float64       `json:"delay,omitempty"`  // seconds
	Dedupe                 string        `json:"dedupe,omitempty"` // ours: mark (default), exact or near
	Scrape                 ScrapeOptions `json:"scrapeOptions,omitzero"`

	Purpose string `json:"purpose,omitempty"` // ours: search, ai-input or ai-train; what the site reserves is not delivered
	Policy  Policy `json:"policy,omitzero"`

	// URLs are the pages of a Batch. They are rows of the frontier, and not kept with the order.
	URLs []string `json:"urls,omitempty"`

	// Once is the partner's own name for the order: another of the same name is not taken.
	Once string `json:"-"`

	// MaxTime and MaxBytes are ours: seconds that the job may take, and bytes of bodies that it may deliver. It completes
	// with what it has when either is used up.
	MaxTime  int   `json:"maxTime,omitempty"`
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// Execution is ours: "edge" (default) has pages fetched and attested at the edge; "tunnel"
	// fetches every page from here through an edge, so that TLS ends here.
	Execution string `json:"execution,omitempty"`
	// Webhook is called at the job's start and end, and for each of its pages.
	Webhook *Webhook `json:"webhook,omitempty"`
}

// ScrapeOptions say what a document holds.
type ScrapeOptions struct {
	Formats         []Format `json:"formats,omitempty"`
	OnlyMainContent *bool    `json:"onlyMainContent,omitempty"`
	IncludeTags     []string `json:"includeTags,omitempty"`
	ExcludeTags     []string `json:"excludeTags,omitempty"`
	Timeout         int      `json:"timeout,omitempty"` // milliseconds

	// What memory may answer: pages looked at at most MaxAge ago, nil for our own choice; with MinAge nothing else is wanted.
	MaxAge       *int64 `json:"maxAge,omitempty"` // milliseconds
	MinAge       int64  `json:"minAge,omitempty"` // milliseconds
	StoreInCache *bool  `json:"storeInCache,omitempty"`

	// What a home node cannot do for now. Each is named in the document's warning.
	Headers map[string]string `json:"headers,omitempty"`
	WaitFor int               `json:"waitFor,omitempty"`
	Mobile  bool              `json:"mobile,omitempty"`
	Actions []json.RawMessage `json:"actions,omitempty"`
}

// Format names one rendering of a page. Firecrawl writes it as a string or as {"type": …}.
type Format string

// The renderings.
const (
	FormatMarkdown Format = "markdown"
	FormatHTML     Format = "html"
	FormatRawHTML  Format = "rawHtml"
	FormatLinks    Format = "links"
	FormatImages   Format = "images"
	FormatSummary  Format = "summary" // the page's own description, or how it begins
	FormatWARC     Format = "warc"    // the exchange as it was, which every page's provenance names; alone it spares reading the text

	FormatScreenshot     Format = "screenshot" // what a browser shows first; offered where the operator has one
	FormatFullScreenshot Format = "screenshot@fullPage"
)

var formats = []Format{
	FormatMarkdown, FormatHTML, FormatRawHTML, FormatLinks, FormatImages, FormatSummary, FormatWARC, FormatScreenshot, FormatFullScreenshot,
}

// UnmarshalJSON accepts both spellings.
func (f *Format) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err != nil {
		var object struct {
			Type     string `json:"type"`
			FullPage bool   `json:"fullPage"`
		}
		if err := json.Unmarshal(b, &object); err != nil {
			return fmt.Errorf("a format is a name or an object with a type")
		}
		if name = object.Type; name == string(FormatScreenshot) && object.FullPage {
			name = string(FormatFullScreenshot)
		}
	}
	*f = Format(name)
	return nil
}

func (o ScrapeOptions) wants(f Format) bool {
	if len(o.Formats) == 0 {
		return f == FormatMarkdown
	}
	return slices.Contains(o.Formats, f)
}

// textless reports a job for the archive: nobody asked for the pages' text, so nobody waits for it, and the index gets none.
func (o ScrapeOptions) textless() bool {
	return o.wants(FormatWARC) && !o.wants(FormatMarkdown) && !o.wants(FormatHTML) && !o.wants(FormatSummary)
}

func (o ScrapeOptions) mainOnly() bool { return o.OnlyMainContent == nil || *o.OnlyMainContent }

// Patience is how long somebody waits for a scrape.
func (o ScrapeOptions) Patience() time.Duration {
	if o.Timeout == 0 {
		return defaultTimeout * time.Millisecond
	}
	return time.Duration(o.Timeout) * time.Millisecond
}

// unmet lists the options that this network does not honour.
func (o ScrapeOptions) unmet() []string {
	var names []string
	for name, set := range map[string]bool{
		"headers": len(o.Headers) > 0, "waitFor": o.WaitFor > 0, "mobile": o.Mobile, "actions": len(o.Actions) > 0,
	} {
		if set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (o ScrapeOptions) check() error {
	for _, f := range o.Formats {
		if !slices.Contains(formats, f) {
			return fmt.Errorf("format %.40q is not offered: use markdown, html, rawHtml, links, images, summary, warc or screenshot", string(f))
		}
	}
	if o.Timeout != 0 && (o.Timeout < minTimeout || o.Timeout > maxTimeout) {
		return fmt.Errorf("timeout is from %d to %d milliseconds, not %d", minTimeout, maxTimeout, o.Timeout)
	}
	if o.MaxAge != nil && *o.MaxAge < 0 || o.MinAge < 0 {
		return errors.New("maxAge and minAge are not negative")
	}
	return text.CheckTags(o.IncludeTags, o.ExcludeTags)
}

func (o Order) limit() int {
	if o.Limit == nil {
		return defaultLimit
	}
	return *o.Limit
}

func (o Order) similarAreSame() bool {
	return o.DeduplicateSimilarURLs == nil || *o.DeduplicateSimilarURLs
}

func (o Order) tunnel() bool { return o.Execution == "tunnel" }

// check names the first field a partner has to change.
func (o Order) check() error {
	switch {
	case o.limit() < 1 || o.limit() > maxLimit:
		return fmt.Errorf("limit is from 1 to %d, not %d", maxLimit, o.limit())
	case o.MaxTime < 0 || o.MaxBytes < 0:
		return fmt.Errorf("maxTime and maxBytes are not negative")
	case o.MaxDiscoveryDepth != nil && *o.MaxDiscoveryDepth < 0:
		return fmt.Errorf("maxDiscoveryDepth is not negative")
	case !slices.Contains([]string{"", "skip", "include", "only"}, o.Sitemap):
		return fmt.Errorf("sitemap is skip, include or only, not %.20q", o.Sitemap)
	case !slices.Contains([]string{"", dedupeMark, dedupeExact, dedupeNear}, o.Dedupe):
		return fmt.Errorf("dedupe is mark, exact or near, not %.20q", o.Dedupe)
	case !slices.Contains([]string{"", "edge", "tunnel"}, o.Execution):
		return fmt.Errorf("execution is edge or tunnel, not %.20q", o.Execution)
	case !(o.Delay >= 0 && o.Delay <= maxDelay):
		return fmt.Errorf("delay is from 0 to %d seconds", maxDelay)
	}
	if o.Webhook != nil {
		if err := o.Webhook.check(); err != nil {
			return err
		}
	}
	if err := o.checkPurpose(); err != nil {
		return err
	}
	if _, err := patterns("includePaths", o.IncludePaths); err != nil {
		return err
	}
	if _, err := patterns("excludePaths", o.ExcludePaths); err != nil {
		return err
	}
	return o.Scrape.check()
}

// startAddress checks and canonicalises the address a job starts from.
func startAddress(raw string) (string, error) {
	if raw == "" {
		return "", errors.New("url is required")
	}
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw // as people write it, and as Firecrawl accepts it
	}
	start, err := link.Canonical(raw, nil)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(start)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	if err := reachable(u); err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	return start, nil
}

// patterns compiles regular expressions (RE2, so that none can run away) of the named field.
func patterns(field string, list []string) ([]*regexp.Regexp, error) {
	if len(list) > maxPatterns {
		return nil, fmt.Errorf("%s has at most %d entries, not %d", field, maxPatterns, len(list))
	}
	compiled := make([]*regexp.Regexp, 0, len(list))
	left := maxSteps
	for _, text := range list {
		if len(text) > maxPattern {
			return nil, fmt.Errorf("%s: a pattern has at most %d bytes", field, maxPattern)
		}
		left += len(text)
		if parsed, err := syntax.Parse(text, syntax.Perl); err == nil { // before it takes its memory; Compile says what is wrong
			if left -= steps(parsed, left); left <= 0 {
				return nil, fmt.Errorf("%s: the patterns are too large together: repeat less with {n}, or give fewer", field)
			}
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a regular expression: %w", field, text, err)
		}
		compiled = append(compiled, re)
	}
	return compiled, nil
}

// steps is about how many instructions an expression compiles to, or any number from most on if it is more.
func steps(re *syntax.Regexp, most int) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		if n >= most {
			return most
		}
		n += steps(sub, most)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1) // at most 1,000, and nested ones multiply to no more
	}
	return min(n, most)
}
