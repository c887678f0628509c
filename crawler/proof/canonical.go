package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// maxDepth bounds how far JSON may nest: a provenance has four levels.
const maxDepth = 64

// canonical writes JSON in the one form of RFC 8785, without some members of the outermost object: order, white space and
// escapes are the business of whoever kept the page.
func canonical(text []byte, without ...string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read JSON: there is something behind the value")
	}
	if object, ok := v.(map[string]any); ok {
		for _, name := range without {
			delete(object, name)
		}
	}
	var out bytes.Buffer
	err := write(&out, v, 0)
	return out.Bytes(), err
}

// Unambiguous refuses JSON in which an object has two members of one name, in capitals or not. Readers differ in which of the
// two they take, and Go's takes either for the other: what was checked would not be what is read.
func Unambiguous(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	type object struct {
		names map[string]bool // nil: an array
		value bool            // the next token is a member's value
	}
	var open []object
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read JSON: %w", err)
		}
		if n := len(open); n > 0 && open[n-1].names != nil && token != json.Delim('}') {
			in := &open[n-1]
			if name, ok := token.(string); ok && !in.value {
				folded := fold(name)
				if in.names[folded] {
					return fmt.Errorf("read JSON: the name %.40q stands twice in one object", name)
				}
				in.names[folded], in.value = true, true
				continue
			}
			in.value = false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(open) == maxDepth {
				return fmt.Errorf("JSON nests deeper than %d", maxDepth)
			}
			var in object
			if token == json.Delim('{') {
				in.names = map[string]bool{}
			}
			open = append(open, in)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// fold gives names that Go's decoder takes for one another the same form: it compares them by simple case folding.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

func write(out *bytes.Buffer, v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("JSON nests deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) })
		for i, name := range names {
			out.WriteByte("{,"[min(i, 1)])
			quote(out, name)
			out.WriteByte(':')
			if err := write(out, v[name], depth+1); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			out.WriteByte('{')
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for i, each := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := write(out, each, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case string:
		quote(out, v)
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return fmt.Errorf("number %.30q: %w", v.String(), err)
		}
		if f == 0 {
			f = 0 // and not -0
		}
		text, err := json.Marshal(f) // in the form of ECMAScript, which RFC 8785 asks for
		if err != nil {
			return fmt.Errorf("number %.30q: %w", v.String(), err)
		}
		out.Write(text)
	default: // true, false, null
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		out.Write(text)
	}
	return nil
}

// quote escapes what has to be and nothing else (RFC 8785 §3.2.2.2).
func quote(out *bytes.Buffer, s string) {
	const short = "\b\t\n\f\r\"\\"
	out.WriteByte('"')
	for _, r := range s {
		switch i := strings.IndexRune(short, r); {
		case i >= 0:
			out.WriteByte('\\')
			out.WriteByte(`btnfr"\`[i])
		case r < 0x20:
			fmt.Fprintf(out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
}
