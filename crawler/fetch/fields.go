package fetch

import (
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpguts"

	"sward/internal/wire"
)

// fieldNames is the closed set of header fields that a batch may add.
var fieldNames = map[wire.FieldName]string{
	wire.FieldIfNoneMatch: "If-None-Match", wire.FieldIfModifiedSince: "If-Modified-Since",
	wire.FieldSignatureAgent: "Signature-Agent", wire.FieldSignatureInput: "Signature-Input", wire.FieldSignature: "Signature",
}

// checkFields refuses what is beyond the set, the batch or the syntax of HTTP.
func checkFields(b Batch) error {
	if len(b.Fields) > wire.MaxFields {
		return wire.Errorf(wire.BadRequest, "batch has %d header fields, at most %d", len(b.Fields), wire.MaxFields)
	}
	for _, f := range b.Fields {
		switch name, known := fieldNames[f.Name]; {
		case !known:
			return wire.Errorf(wire.BadRequest, "header field %d is not one that a batch may add", f.Name)
		case f.Index != wire.AllURLs && int(f.Index) >= len(b.URLs):
			return wire.Errorf(wire.BadRequest, "%s is for URL %d of %d", name, f.Index, len(b.URLs))
		case len(f.Value) > wire.MaxFieldValue || !httpguts.ValidHeaderFieldValue(f.Value):
			return wire.Errorf(wire.BadRequest, "%s is not a header value", name)
		}
	}
	return nil
}

// fields are those of a request for u: of the page's own URL as long as no redirect led away from it, and of all URLs on
// the batch's host.
func (v *visit) fields(u *url.URL) http.Header {
	if len(v.batch.Fields) == 0 {
		return nil
	}
	own, home := false, false
	if asked, err := parseURL(v.batch.URLs[v.page.index]); err == nil {
		own = *asked == *u
	}
	if first, err := parseURL(v.batch.URLs[0]); err == nil {
		home = first.Host == u.Host
	}
	h := http.Header{}
	for _, f := range v.batch.Fields {
		if f.Index == wire.AllURLs && home || int(f.Index) == v.page.index && own {
			h.Set(fieldNames[f.Name], f.Value)
		}
	}
	return h
}
