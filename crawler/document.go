package crawler

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"sward/crawler/proof"
	"sward/crawler/rights"
	"sward/crawler/text"
	"sward/crawler/warc"
	"time"
)

// Document is one page in Firecrawl's shape. Only the renderings that were asked for are set.
type Document struct {
	Markdown   string         `json:"markdown,omitempty"`
	HTML       string         `json:"html,omitempty"`
	RawHTML    string         `json:"rawHtml,omitempty"`
	Links      []string       `json:"links,omitzero"` // none is [] where they were asked for
	Images     []string       `json:"images,omitzero"`
	Summary    string         `json:"summary,omitempty"`
	Screenshot string         `json:"screenshot,omitempty"` // a data address of a PNG
	Warning    string         `json:"warning,omitempty"`
	Metadata   map[string]any `json:"metadata"`
}

// Provenance is how a document came to be, in enough detail to check it: the edge's signed statement
// names the body's digest, and the archive holds the exchange.
type Provenance struct {
	Edge        string        `json:"edge,omitempty"`        // who fetched and attested it; empty if it was fetched from here
	Exit        string        `json:"exit"`                  // through whose connection the delivered bytes came
	ExitCountry string        `json:"exitCountry,omitempty"` // of that connection, as its relay sees it: ISO 3166-1 alpha-2 in lower case
	ExitASN     uint32        `json:"exitAsn,omitempty"`     // of the network that announces its address
	Execution   string        `json:"execution"`             // edge or tunnel
	Attest      string        `json:"attest,omitempty"`
	Signature   string        `json:"signature,omitempty"`
	SHA256      string        `json:"sha256"` // of the body, content coding removed
	Bytes       int           `json:"bytes"`
	Truncated   string        `json:"truncated,omitempty"`
	WARC        warcPlace     `json:"warc"`
	Redirects   []string      `json:"redirects,omitempty"`
	RobotsRule  string        `json:"robotsRule,omitempty"`
	FetchedAt   string        `json:"fetchedAt"`
	TookMillis  int64         `json:"tookMs"`
	Audited     string        `json:"audited"` // match, mismatch or skipped
	Extractor   string        `json:"extractor"`
	TextSimhash string        `json:"textSimhash"`
	Hidden      bool          `json:"hiddenTextDropped,omitempty"`
	Canonical   string        `json:"canonical,omitempty"` // as claimed by the page
	Rights      rights.Rights `json:"rights"`

	Revalidated *confirmation `json:"revalidated,omitempty"` // the site's later word that the page is as it was
	Revisit     *warcPlace    `json:"revisit,omitempty"`     // of the record that found it unchanged

	Network      string            `json:"network"`      // in which its signatures count
	RequestedURL string            `json:"requestedUrl"` // as it was asked for, and attested
	FinalURL     string            `json:"finalUrl"`
	Status       int               `json:"status"`
	HeaderSHA256 string            `json:"headerSha256,omitempty"` // of the response's head as received
	Digests      map[string]string `json:"digests"`                // SHA-256 of each rendering that is delivered, by its name
	Seal         *proof.Seal       `json:"seal,omitempty"`         // the hub's signature over all of this

	DuplicateOf   string `json:"duplicateOf,omitempty"`   // the document of this job that has the text already
	DuplicateKind string `json:"duplicateKind,omitempty"` // exact or near
}

// warcPlace is a warc.Location in the API's spelling.
type warcPlace struct {
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
	Records int64  `json:"records"` // bytes from offset on that the response, the request and what was said of them take
	ID      string `json:"id"`
}

// newDocument puts a page together for the partner.
func newDocument(j *job, a arrival, t text.Content, rights rights.Rights, at warc.Location, final string) Document {
	o := j.order.Scrape
	var d Document
	if o.wants(FormatMarkdown) {
		d.Markdown = t.Markdown
	}
	if o.wants(FormatHTML) {
		d.HTML = t.HTML
	}
	if o.wants(FormatRawHTML) {
		d.RawHTML = text.Source(a.Body, a.contentType())
	}
	if o.wants(FormatLinks) {
		d.Links = append([]string{}, t.Links...)
	}
	if o.wants(FormatImages) {
		d.Images = append([]string{}, t.Images...)
	}
	if o.wants(FormatSummary) {
		d.Summary = summary(t)
	}
	if unmet := o.unmet(); len(unmet) > 0 {
		d.Warning = "these options were ignored because a home node cannot honour them:"
		for _, name := range unmet {
			d.Warning += " " + name
		}
	}
	scrape := newJobName()
	if j.kind == Scrape {
		scrape = j.name // GET /v2/scrape/{id} has it again
	}
	d.Metadata = map[string]any{
		"sourceURL": a.asked, "url": final, "statusCode": a.Status, "contentType": a.contentType(),
		"scrapeId": scrape, "proxyUsed": "basic", "cacheState": "miss", "creditsUsed": 1,
		"provenance": newProvenance(a.origin(), t, rights, at),
	}
	if a.recalled {
		d.Metadata["cacheState"], d.Metadata["creditsUsed"] = "hit", 0
		d.Metadata["cachedAt"] = a.item.known.checked.UTC().Format(time.RFC3339Nano)
	}
	for name, value := range map[string]string{
		"title": t.Title, "description": t.Description, "language": t.Language, "author": t.Author,
		"publishedTime": t.Published, "robots": t.Robots,
	} {
		if value != "" {
			d.Metadata[name] = value
		}
	}
	for name, value := range openGraph(t.OG) {
		d.Metadata[name] = value
	}
	return d
}

func newProvenance(a arrival, t text.Content, rights rights.Rights, at warc.Location) Provenance {
	p := Provenance{
		Edge: a.edge, Exit: a.exit, Execution: "edge", SHA256: hex.EncodeToString(a.sum[:]), Bytes: len(a.Body),
		Attest: base64.StdEncoding.EncodeToString(a.Attest), Signature: base64.StdEncoding.EncodeToString(a.Sig),
		Truncated: a.truncated(), WARC: warcPlace(at), Redirects: a.Hops, RobotsRule: a.Rule,
		FetchedAt: a.Started.UTC().Format(time.RFC3339Nano), TookMillis: a.Took.Milliseconds(),
		Audited: a.audited, Extractor: t.Extractor, TextSimhash: fmt.Sprintf("%016x", a.simhash),
		Hidden: t.Hidden, Canonical: t.Canonical, Rights: rights,
		Revalidated: a.confirmed, Revisit: a.revisit,
	}
	if a.edge == "" {
		p.Execution = "tunnel"
	}
	if len(a.Response) > 0 {
		sum := sha256.Sum256(a.Response)
		p.HeaderSHA256 = hex.EncodeToString(sum[:])
	}
	return p
}

// ogNames are the Open Graph properties that Firecrawl names, in its spelling.
var ogNames = map[string]string{
	"title": "ogTitle", "description": "ogDescription", "url": "ogUrl", "image": "ogImage", "audio": "ogAudio",
	"determiner": "ogDeterminer", "locale": "ogLocale", "site_name": "ogSiteName", "video": "ogVideo",
}

func openGraph(og map[string]string) map[string]string {
	named := make(map[string]string)
	for property, value := range og {
		if name := ogNames[property]; name != "" {
			named[name] = value
		}
	}
	return named
}
