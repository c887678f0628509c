package rights

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"sward/crawler/link"
)

// Bounds of an RSL document.
const (
	MaxRSL      = 256 << 10 // bytes
	maxContents = 200       // <content> elements
	maxTerms    = 16        // <license> elements of one of them
	rslSpace    = "https://rslstandard.org/rsl"
)

// A Licence is an RSL 1.0 document (rslstandard.org/rsl, December 2025) as far as it speaks of uses.
type Licence struct {
	URL      string `json:"url"`
	contents []rslContent
}

type rslContent struct {
	URL    string    `xml:"url,attr"`
	Server string    `xml:"server,attr"`
	Terms  []rslTerm `xml:"license"`
}

type rslTerm struct {
	Permits   []rslList  `xml:"permits"`
	Prohibits []rslList  `xml:"prohibits"`
	Payments  []rslPrice `xml:"payment"`
}

type rslList struct {
	Type string `xml:"type,attr"`
	List string `xml:",chardata"`
}

type rslPrice struct {
	Type string `xml:"type,attr"`
}

// ParseRSL reads the document that was found at an address. A document type is refused: it could name files of ours.
func ParseRSL(at string, b []byte) (Licence, error) {
	l := Licence{URL: at}
	d := xml.NewDecoder(io.LimitReader(bytes.NewReader(b), MaxRSL))
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("only UTF-8 is read") }
	for len(l.contents) < maxContents {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Licence{}, fmt.Errorf("read RSL: %w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return Licence{}, errors.New("read RSL: a document type is not accepted")
		case xml.StartElement:
			if t.Name.Local != "content" || t.Name.Space != rslSpace && t.Name.Space != "" {
				continue
			}
			var c rslContent
			if err := d.DecodeElement(&c, &t); err != nil {
				return Licence{}, fmt.Errorf("read RSL: %w", err)
			}
			c.Terms = c.Terms[:min(len(c.Terms), maxTerms)]
			l.contents = append(l.contents, c)
		}
	}
	if len(l.contents) == 0 {
		return Licence{}, errors.New("read RSL: it licenses nothing")
	}
	return l, nil
}

// judge adds what the document says of a path, and reports whether it does. Of several contents the most specific counts.
func (l Licence) judge(s *statements, origin, path string) bool {
	best := -1
	var chosen []rslContent
	for _, c := range l.contents {
		octets := c.match(origin, path)
		if octets > best {
			best, chosen = octets, nil
		}
		if octets >= 0 && octets == best {
			chosen = append(chosen, c)
		}
	}
	for _, c := range chosen {
		for _, u := range uses {
			if answer, why := c.answer(u); answer != Unknown {
				s.add(u, answer, "RSL "+l.URL+": "+why)
			}
		}
	}
	return len(chosen) > 0
}

// match says how specific the content's address is for a path of an origin, or -1.
func (c rslContent) match(origin, path string) int {
	pattern := c.URL
	if at, err := url.Parse(c.URL); err == nil && at.Host != "" {
		if home, err := url.Parse(origin); err != nil || !strings.EqualFold(home.Host, at.Host) {
			return -1
		}
		_, pattern, _ = strings.Cut(c.URL, "://")
		_, pattern, _ = strings.Cut(pattern, "/")
		pattern = "/" + pattern
	}
	if p := link.ParsePattern(pattern); p.Match(link.CanonicalPath(path)) {
		return p.Octets()
	}
	return -1
}

// answer is what the licences of a content, of which a user may take any, say of a use. A use that is to be paid for, or for
// which a licence server is to be asked, is denied until somebody has that licence: we have none.
func (c rslContent) answer(u Use) (Answer, string) {
	var free, priced, others bool
	for _, t := range c.Terms {
		for _, p := range t.Prohibits {
			if p.names(u) {
				return Deny, "prohibits " + string(u)
			}
		}
		restricted, named := t.permits(u)
		switch {
		case restricted && !named:
			others = true
		case !named && len(t.Payments) == 0: // it says what is forbidden, and no more
		case t.pays() || c.Server != "":
			priced = true
		default:
			free = true
		}
	}
	switch {
	case free:
		return Allow, "permits " + string(u)
	case priced:
		return Deny, "licenses " + string(u) + " against payment or consent"
	case others && u != Search: // a licence that lists uses of AI licenses no other; to be linked to nobody needs one
		return Deny, "does not license " + string(u)
	}
	return Unknown, ""
}

// permits reports whether the licence has a list of permitted uses, and whether u is on it.
func (t rslTerm) permits(u Use) (restricted, named bool) {
	for _, p := range t.Permits {
		if p.Type == "usage" {
			restricted = true
			named = named || p.names(u)
		}
	}
	return restricted, named
}

func (t rslTerm) pays() bool {
	for _, p := range t.Payments {
		switch strings.ToLower(p.Type) {
		case "free", "attribution":
		default:
			return true
		}
	}
	return false
}

// names reports whether a list of usages holds u. An index for AI is read by models.
func (l rslList) names(u Use) bool {
	if l.Type != "usage" {
		return false
	}
	for token := range strings.FieldsFuncSeq(strings.ToLower(l.List), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' || r == '\r' }) {
		switch token {
		case string(u), "all":
			return true
		case "ai-all":
			if u != Search {
				return true
			}
		case "ai-index":
			if u == AIInput {
				return true
			}
		}
	}
	return false
}
