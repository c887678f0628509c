package proof

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"sward/internal/wire"
)

// Step is one thing that was checked. What could not be is neither right nor wrong: Err is an *Unknown.
type Step struct {
	Name string // edge, attestation, hub, markdown, …
	What string // a sentence, if it holds
	Err  error
}

// Unknown is why something could not be checked.
type Unknown struct{ Why string }

func (e *Unknown) Error() string { return e.Why }

// Failed reports whether a step found something wrong.
func (s Step) Failed() bool {
	_, unknown := errors.AsType[*Unknown](s.Err)
	return s.Err != nil && !unknown
}

// Checker holds pages to what was signed for them.
type Checker struct {
	// Verify checks a signature of a peer, by the text of its ID, over a body of a type.
	Verify func(network, peer, typ string, body, sig []byte) bool

	Network string // that the page has to be of; empty: whichever it names
	Hub     string // who has to have sealed it; empty: whoever did
	// Exchange finds what the archive holds of a page: the response's head, as received, and its body. Nil: no archive at hand.
	Exchange func(p Place) (head, body []byte, err error)
}

// Place is where the archive has the exchange.
type Place struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	ID     string `json:"id"`
}

// page is a document as far as it is checked.
type page struct {
	Markdown   *string `json:"markdown"`
	HTML       *string `json:"html"`
	RawHTML    *string `json:"rawHtml"`
	Screenshot *string `json:"screenshot"`
	Metadata   struct {
		SourceURL  string          `json:"sourceURL"`
		URL        string          `json:"url"`
		StatusCode int             `json:"statusCode"`
		Provenance json.RawMessage `json:"provenance"`
	} `json:"metadata"`
}

// claims are the members of a provenance that can be held against something.
type claims struct {
	Network      string            `json:"network"`
	RequestedURL string            `json:"requestedUrl"`
	FinalURL     string            `json:"finalUrl"`
	Status       int               `json:"status"`
	Edge         string            `json:"edge"`
	Execution    string            `json:"execution"`
	Attest       string            `json:"attest"`
	Signature    string            `json:"signature"`
	SHA256       string            `json:"sha256"`
	Bytes        int64             `json:"bytes"`
	HeaderSHA256 string            `json:"headerSha256"`
	FetchedAt    time.Time         `json:"fetchedAt"`
	WARC         Place             `json:"warc"`
	Digests      map[string]string `json:"digests"`
	Seal         *Seal             `json:"seal"`
	Revalidated  *struct {
		Edge      string    `json:"edge"`
		Attest    []byte    `json:"attest"`
		Signature []byte    `json:"signature"`
		At        time.Time `json:"at"`
	} `json:"revalidated"`
}

// Check checks one page, given as the JSON of a document. Its error means that there is nothing to check.
func (c Checker) Check(document []byte) (steps []Step, err error) {
	var p page
	if err := Unambiguous(document); err != nil {
		return nil, fmt.Errorf("this is no page: %w", err)
	}
	if err := json.Unmarshal(document, &p); err != nil {
		return nil, fmt.Errorf("this is no page: %w", err)
	}
	if len(p.Metadata.Provenance) == 0 {
		return nil, errors.New("this page has no metadata.provenance: it is not of this network, or was stripped")
	}
	var is claims
	if err := json.Unmarshal(p.Metadata.Provenance, &is); err != nil {
		return nil, fmt.Errorf("read provenance: %w", err)
	}
	if c.Network != "" && is.Network != c.Network {
		return nil, fmt.Errorf("the page is of network %q, not %q", is.Network, c.Network)
	}
	steps = append(steps, c.seal(p, is), told(p, is))
	steps = append(steps, c.edge(is)...)
	if is.Revalidated != nil {
		steps = append(steps, c.revalidated(is))
	}
	steps = append(steps, renderings(p, is)...)
	return append(steps, c.archived(p, is)), nil
}

// seal checks the hub's word for the whole provenance.
func (c Checker) seal(p page, is claims) Step {
	s := Step{Name: "hub"}
	if is.Seal == nil {
		s.Err = &Unknown{"no hub has sealed the provenance"}
		if c.Hub != "" {
			s.Err = fmt.Errorf("the provenance is not sealed by %s, nor by anybody", c.Hub)
		}
		return s
	}
	body, err := SealBody(p.Metadata.Provenance)
	switch {
	case err != nil:
		s.Err = err
	case c.Hub != "" && is.Seal.Hub != c.Hub:
		s.Err = fmt.Errorf("the provenance is sealed by %s, not by %s", is.Seal.Hub, c.Hub)
	case !c.Verify(is.Network, is.Seal.Hub, TypeSeal, body, is.Seal.Signature):
		s.Err = errors.New("the provenance is not the one that the hub has sealed")
	}
	s.What = fmt.Sprintf("%s has sealed the provenance, network %s", is.Seal.Hub, is.Network)
	return s
}

// told compares what the document says beside its provenance.
func told(p page, is claims) Step {
	s := Step{Name: "page", What: fmt.Sprintf("%s, status %d", is.RequestedURL, is.Status)}
	switch m := p.Metadata; {
	case m.SourceURL != is.RequestedURL:
		s.Err = fmt.Errorf("its sourceURL is %s, and the provenance is of %s", m.SourceURL, is.RequestedURL)
	case m.URL != is.FinalURL:
		s.Err = fmt.Errorf("its url is %s, and the provenance is of %s", m.URL, is.FinalURL)
	case m.StatusCode != is.Status:
		s.Err = fmt.Errorf("its statusCode is %d, and the provenance is of %d", m.StatusCode, is.Status)
	}
	return s
}

// edge checks who fetched the page, and that the provenance says what the edge signed.
func (c Checker) edge(is claims) []Step {
	signed := Step{Name: "edge", What: is.Edge + " has signed this fetch"}
	if is.Edge == "" {
		signed.Err = &Unknown{"the page was fetched over the road " + is.Execution + ", where TLS ends at the hub: it is the hub's word alone"}
		return []Step{signed}
	}
	body, err1 := base64.StdEncoding.DecodeString(is.Attest)
	sig, err2 := base64.StdEncoding.DecodeString(is.Signature)
	if err := errors.Join(err1, err2); err != nil {
		signed.Err = fmt.Errorf("attestation or signature: %w", err)
		return []Step{signed}
	}
	if !c.Verify(is.Network, is.Edge, TypeAttest, body, sig) {
		signed.Err = fmt.Errorf("the attestation is not signed by %s", is.Edge)
		return []Step{signed}
	}
	says := Step{Name: "attestation", What: "address, status, body, header and time are those that it signed"}
	a, err := wire.ParseAttest(body)
	switch {
	case err != nil:
		says.Err = err
	case a.URLHash != sha256.Sum256([]byte(is.RequestedURL)):
		says.Err = fmt.Errorf("it is of another address than %s", is.RequestedURL)
	case int(a.Status) != is.Status:
		says.Err = fmt.Errorf("it says status %d, the page %d", a.Status, is.Status)
	case hex.EncodeToString(a.BodySHA256[:]) != is.SHA256 || int64(a.BodyLen) != is.Bytes:
		says.Err = errors.New("it is of another body")
	case is.HeaderSHA256 != "" && hex.EncodeToString(a.HeaderDigest[:]) != is.HeaderSHA256:
		says.Err = errors.New("it is of another header")
	case a.Time != is.FetchedAt.UnixMilli():
		says.Err = fmt.Errorf("it is of %s, the page of %s", time.UnixMilli(a.Time).UTC().Format(time.RFC3339Nano), is.FetchedAt.Format(time.RFC3339Nano))
	}
	return []Step{signed, says}
}

// revalidated checks the later word that the page is unchanged.
func (c Checker) revalidated(is claims) Step {
	r := is.Revalidated
	s := Step{Name: "unchanged", What: fmt.Sprintf("%s has signed that the site called it unchanged at %s", r.Edge, r.At.Format(time.RFC3339))}
	if r.Edge == "" {
		s.Err = &Unknown{"that it was unchanged at " + r.At.Format(time.RFC3339) + " is the hub's word"}
		return s
	}
	a, err := wire.ParseAttest(r.Attest)
	switch {
	case !c.Verify(is.Network, r.Edge, TypeAttest, r.Attest, r.Signature):
		s.Err = fmt.Errorf("the later statement is not signed by %s", r.Edge)
	case err != nil:
		s.Err = err
	case a.URLHash != sha256.Sum256([]byte(is.RequestedURL)) || a.Status != http.StatusNotModified || a.Time != r.At.UnixMilli():
		s.Err = errors.New("the later statement is of something else")
	}
	return s
}

// renderings compares what is delivered with the digests of what was made.
func renderings(p page, is claims) (steps []Step) {
	for name, text := range map[string]*string{"markdown": p.Markdown, "html": p.HTML, "rawHtml": p.RawHTML, "screenshot": p.Screenshot} {
		want, sealed := is.Digests[name]
		s := Step{Name: name, What: "as it was delivered"}
		sum := sha256.Sum256(nil)
		if text != nil {
			sum = sha256.Sum256([]byte(*text))
		}
		switch {
		case text == nil && !sealed:
			continue
		case text == nil:
			s.Err = &Unknown{"the page was delivered with it, and this copy has it no more"}
		case !sealed:
			s.Err = errors.New("it was not delivered with the page")
		case hex.EncodeToString(sum[:]) != want:
			s.Err = errors.New("it is not what was delivered")
		case name == "rawHtml" && want == is.SHA256:
			s.What = "as it was delivered, byte for byte the body that was attested"
		}
		steps = append(steps, s)
	}
	slices.SortFunc(steps, func(a, b Step) int { return len(a.Name) - len(b.Name) })
	return steps
}

// archived compares the archive's exchange with the digests.
func (c Checker) archived(p page, is claims) Step {
	s := Step{Name: "body", What: fmt.Sprintf("%s has it at byte %d, as attested", is.WARC.File, is.WARC.Offset)}
	if c.Exchange == nil {
		s.What = "the rawHtml of this page is the body"
		if p.RawHTML == nil || is.Digests["rawHtml"] != is.SHA256 {
			s.Err = &Unknown{fmt.Sprintf("the body itself is not here: %s has it at byte %d", is.WARC.File, is.WARC.Offset)}
		}
		return s
	}
	head, body, err := c.Exchange(is.WARC)
	sum, top := sha256.Sum256(body), sha256.Sum256(head)
	switch {
	case err != nil:
		s.Err = err
	case hex.EncodeToString(sum[:]) != is.SHA256:
		s.Err = errors.New("the archive has another body than the provenance")
	case is.HeaderSHA256 != "" && hex.EncodeToString(top[:]) != is.HeaderSHA256:
		s.Err = errors.New("the archive has another header than the provenance")
	}
	return s
}
