package wire

// Batch is the work of one crawl stream: URLs of one host, fetched in order.
type Batch struct {
	Job      [16]byte
	Delay    uint32 // milliseconds between two requests, at least
	Deadline uint32 // milliseconds for the whole batch
	MaxWire  uint32 // bytes of one response as received
	MaxBody  uint32 // bytes of one body as decoded
	Agent    string // User-Agent
	URLs     []string
}

func (m Batch) Type() Type { return TypeBatch }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Batch) Append(b []byte) []byte { return encode(b, &m) }

// ParseBatch reads the body of a Batch.
func ParseBatch(b []byte) (m Batch, err error) { err = decode(b, &m); return m, err }

func (m *Batch) fields(c *cursor) {
	c.fixed(m.Job[:])
	u32(c, &m.Delay)
	u32(c, &m.Deadline)
	u32(c, &m.MaxWire)
	u32(c, &m.MaxBody)
	c.str8("agent", &m.Agent, MaxAgent)
	c.urls("number of URLs", &m.URLs, 2, MaxURLs)
}

// urls walks a list of URLs, counted in size bytes.
func (c *cursor) urls(field string, p *[]string, size, max int) {
	n := c.length(field, len(*p), size, max, 2)
	if n > 0 && !c.writing {
		*p = make([]string, n)
	}
	for i := range n {
		c.str16("URL", &(*p)[i], MaxURL)
	}
}

// A FieldName is a request header field that a crawler may have an edge add. The set is closed, so that no batch can make an
// edge speak for somebody: no cookie, no credential, no address of another.
type FieldName uint8

// The fields. Numbers are on the wire.
const (
	FieldIfNoneMatch     FieldName = 1 // RFC 9110 §13.1.2: an entity tag from an earlier answer
	FieldIfModifiedSince FieldName = 2 // RFC 9110 §13.1.3
	FieldSignatureAgent  FieldName = 3 // draft-meunier-http-message-signatures-directory: where the key is
	FieldSignatureInput  FieldName = 4 // RFC 9421 §4.1
	FieldSignature       FieldName = 5 // RFC 9421 §4.2
)

// AllURLs stands for the index of every URL of a batch.
const AllURLs = 0xffff

// Field is one header field for one URL, or for all.
type Field struct {
	Index uint16 // of the URL in Batch.URLs, or AllURLs
	Name  FieldName
	Value string
}

// Fields are header fields for the requests of the Batch that follows on the stream. An edge that does not know the frame
// skips it, and fetches without them.
type Fields struct{ List []Field }

func (m Fields) Type() Type { return TypeFields }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Fields) Append(b []byte) []byte { return encode(b, &m) }

// ParseFields reads the body of a Fields.
func ParseFields(b []byte) (m Fields, err error) { err = decode(b, &m); return m, err }

func (m *Fields) fields(c *cursor) {
	n := c.length("number of fields", len(m.List), 2, MaxFields, 5)
	if n > 0 && !c.writing {
		m.List = make([]Field, n)
	}
	for i := range n {
		u16(c, &m.List[i].Index)
		u8(c, &m.List[i].Name)
		c.str16("value", &m.List[i].Value, MaxFieldValue)
	}
}

// The bits of Page.Flags: why a body is shorter than the target's.
const (
	PageWireTruncated    uint8 = 1 // Batch.MaxWire was reached
	PageDecodedTruncated uint8 = 2 // Batch.MaxBody was reached
	PageTimeTruncated    uint8 = 4 // Batch.Deadline was reached
)

// Page is the outcome of one URL. Body frames follow it, the last of them empty.
type Page struct {
	Index      uint16 // of the URL in Batch.URLs
	Code       Code
	Status     uint16 // HTTP status; zero when there was no response
	Flags      uint8
	Started    int64    // Unix milliseconds
	Took       uint32   // milliseconds
	URL        string   // after redirects
	Hops       []string // the redirects, without URL
	Rule       string   // robots rule that decided
	RetryAfter uint32   // seconds the target asked us to wait
	CrawlDelay uint32   // milliseconds, from robots.txt
	Address    [16]byte // address dialled, IPv4 mapped into IPv6
	Request    []byte   // head as sent
	Response   []byte   // head as received
	Attest     []byte   // body of an Attest; empty when nothing was fetched
	Sig        [64]byte // over Attest by the edge's identity, type "fetch"
}

func (m Page) Type() Type { return TypePage }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Page) Append(b []byte) []byte { return encode(b, &m) }

// ParsePage reads the body of a Page.
func ParsePage(b []byte) (m Page, err error) { err = decode(b, &m); return m, err }

func (m *Page) fields(c *cursor) {
	u16(c, &m.Index)
	u16(c, &m.Code)
	u16(c, &m.Status)
	u8(c, &m.Flags)
	u64(c, &m.Started)
	u32(c, &m.Took)
	c.str16("URL", &m.URL, MaxURL)
	c.urls("number of hops", &m.Hops, 1, MaxHops)
	c.str8("rule", &m.Rule, MaxRule)
	u32(c, &m.RetryAfter)
	u32(c, &m.CrawlDelay)
	c.fixed(m.Address[:])
	c.bytes16("request", &m.Request, MaxHeaderBlock)
	c.bytes16("response", &m.Response, MaxHeaderBlock)
	c.bytes16("attestation", &m.Attest, AttestSize)
	c.fixed(m.Sig[:])
}

// Body is a piece of a page's zstd stream. An empty one ends the page.
type Body struct {
	Data []byte // at most MaxBodyChunk
}

func (m Body) Type() Type { return TypeBody }

// Append adds the body to b, or returns nil if it is longer than MaxBodyChunk.
func (m Body) Append(b []byte) []byte { return encode(b, &m) }

// ParseBody reads the body of a Body frame. Data is b itself, not a copy.
func ParseBody(b []byte) (m Body, err error) { err = decode(b, &m); return m, err }

func (m *Body) fields(c *cursor) {
	switch {
	case len(c.b) > MaxBodyChunk && !c.writing, len(m.Data) > MaxBodyChunk:
		c.fail("has a piece beyond its limit")
	case c.writing:
		c.b = append(c.b, m.Data...)
	default:
		m.Data = c.take(len(c.b))
	}
}

// BatchEnd closes a crawl stream.
type BatchEnd struct {
	Code    Code   // OK, or why the rest was not fetched
	Fetched uint16 // pages sent
}

func (m BatchEnd) Type() Type { return TypeBatchEnd }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m BatchEnd) Append(b []byte) []byte { return encode(b, &m) }

// ParseBatchEnd reads the body of a BatchEnd.
func ParseBatchEnd(b []byte) (m BatchEnd, err error) { err = decode(b, &m); return m, err }

func (m *BatchEnd) fields(c *cursor) {
	u16(c, &m.Code)
	u16(c, &m.Fetched)
}
