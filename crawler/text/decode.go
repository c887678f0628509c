package text

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
)

type documentForm int

const (
	formHTML documentForm = iota
	formPlain
)

// decodeDocument decides what a body is and returns it as UTF-8. The declared type counts unless
// the first bytes show a binary format: a PDF stays a PDF under any label. PDF is not read: github.com/ledongthuc/pdf
// (September 2026), the one maintained reader in Go alone, finds no blanks between the words of TeX's and FOP's files, and
// panics on most damaged ones.
func decodeDocument(body []byte, contentType string) (documentForm, string, error) {
	form, err := formOf(body, contentType)
	if err != nil {
		return form, "", err
	}
	coding := encodingOf(body, contentType)
	if (coding == encoding.Nop || coding == unicodeUTF8) && len(body) <= maxPageBytes && utf8.Valid(body) {
		return form, string(body), nil // most pages, and the decoder would take a tenth of what Scan takes
	}
	text, err := coding.NewDecoder().Bytes(body)
	if err != nil {
		return form, "", fmt.Errorf("decode text: %w", err)
	}
	if len(text) > maxPageBytes {
		return form, "", fmt.Errorf("%w: %d bytes decoded, at most %d", ErrTooLarge, len(text), maxPageBytes)
	}
	return form, strings.ToValidUTF8(string(text), "\uFFFD"), nil
}

// unicodeUTF8 is what the sniffer calls UTF-8.
var unicodeUTF8, _ = charset.Lookup("utf-8")

// lateCharset finds the declaration that stands behind the first 1024 bytes, where the standard does
// not look and browsers do.
var lateCharset = regexp.MustCompile(`(?i)<meta[^>]{1,256}charset\s*=\s*["']?\s*([a-z0-9_:-]{2,40})`)

// encodingOf sniffs as WHATWG HTML §13.2.3.2 has it. Where that ends in the guess windows-1252, a
// whole body of valid UTF-8 is believed before, and a late declaration next.
func encodingOf(body []byte, contentType string) encoding.Encoding {
	found, name, certain := charset.DetermineEncoding(body, contentType)
	if certain || name != "windows-1252" {
		return found
	}
	if utf8.Valid(body) {
		return encoding.Nop
	}
	if m := lateCharset.FindSubmatch(body[:min(len(body), 64<<10)]); m != nil {
		if late, _ := charset.Lookup(string(m[1])); late != nil {
			return late
		}
	}
	return found
}

func formOf(body []byte, contentType string) (documentForm, error) {
	sniffed, _, _ := mime.ParseMediaType(http.DetectContentType(body))
	if sniffed == "application/pdf" || !strings.HasPrefix(sniffed, "text/") && sniffed != "application/octet-stream" && hasControls(body) {
		return 0, fmt.Errorf("%w: it looks like %s", ErrNotText, sniffed)
	}
	declared, _, err := mime.ParseMediaType(contentType)
	if err != nil || declared == "application/octet-stream" {
		declared = sniffed
	}
	switch {
	case declared == "text/html" || declared == "application/xhtml+xml":
		return formHTML, nil
	case strings.HasPrefix(declared, "image/"): // SVG is XML, and no text
	case strings.HasPrefix(declared, "text/"), strings.HasSuffix(declared, "+json"), strings.HasSuffix(declared, "+xml"),
		declared == "application/json", declared == "application/xml", declared == "application/yaml",
		declared == "application/x-ndjson", declared == "application/javascript":
		return formPlain, nil
	}
	return 0, fmt.Errorf("%w: %.80s", ErrNotText, declared)
}

// hasControls tells a binary format from a text that happens to start like one ("BM" is a bitmap's
// magic number).
func hasControls(body []byte) bool {
	return bytes.ContainsFunc(body[:min(len(body), 512)], func(r rune) bool {
		return r < 0x20 && !unicode.IsSpace(r) && r != 0x1b
	})
}

// Clean drops what no reader sees and some machines obey: control characters, the invisible
// characters that hide a message inside a text, and the ones that turn its direction around.
// Joiners stay, since Persian, Indic scripts and emoji need them.
func Clean(s string) string {
	if strings.IndexFunc(s, isInvisible) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isInvisible(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func isInvisible(r rune) bool {
	switch {
	case r == '\t' || r == '\n':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL and C1 controls
		return true
	case r == 0x00ad, r == 0x180e, r == 0xfeff, r == 0x200b: // soft hyphen, zero-width spaces
		return true
	case r >= 0x2060 && r <= 0x206f, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e: // invisible operators, direction
		return true
	case r >= 0xe0000 && r <= 0xe0fff, r >= 0xfff9 && r <= 0xfffb: // tags (a hidden copy of ASCII), annotations
		return true
	}
	return false
}

// smuggles reports characters that have no honest use in a page's text: tags spell out ASCII unseen.
func smuggles(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= 0xe0000 && r <= 0xe007f })
}

// Line folds white space and cuts to limit bytes at a rune's edge.
func Line(s string, limit int) string {
	s = strings.Join(strings.Fields(Clean(s)), " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimSpace(s[:limit])
}

// Source is a page's own text in UTF-8, whatever its charset was: empty if it is not text.
func Source(body []byte, contentType string) string {
	_, source, err := decodeDocument(body, contentType)
	if err != nil {
		return ""
	}
	return source
}
