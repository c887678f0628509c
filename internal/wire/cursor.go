package wire

import (
	"bytes"
	"encoding/binary"
)

// cursor walks the fields of a message in wire order. The same walk writes and
// reads: writing, it appends each field to b; reading, it takes each field from
// the front of b. The first fault stops it, and later steps do nothing.
type cursor struct {
	b       []byte
	writing bool
	fault   string
}

// layout is a message as the cursor sees it.
type layout interface{ fields(*cursor) }

// encode appends m to b, or returns nil if a field breaks its limit.
func encode(b []byte, m layout) []byte {
	c := cursor{b: b, writing: true}
	m.fields(&c)
	if c.fault != "" {
		return nil
	}
	return c.b
}

// decode reads m from all of b.
func decode(b []byte, m layout) error {
	c := cursor{b: b}
	m.fields(&c)
	if c.fault == "" && len(c.b) > 0 {
		c.fault = "has trailing bytes"
	}
	if c.fault == "" {
		return nil
	}
	name := "attestation" // the one layout that is not a frame
	if f, ok := m.(Message); ok {
		name = f.Type().String()
	}
	return Errorf(ProtocolError, "%s %s", name, c.fault)
}

func (c *cursor) fail(fault string) {
	if c.fault == "" {
		c.fault = fault
	}
}

// take returns the next n bytes of what is read, or nil after noting the fault.
func (c *cursor) take(n int) []byte {
	if c.fault != "" {
		return nil
	}
	if len(c.b) < n {
		c.fail("ends early")
		return nil
	}
	s := c.b[:n]
	c.b = c.b[n:]
	return s
}

func u8[T ~uint8](c *cursor, p *T) {
	if c.writing {
		c.b = append(c.b, byte(*p))
	} else if s := c.take(1); s != nil {
		*p = T(s[0])
	}
}

func u16[T ~uint16](c *cursor, p *T) {
	if c.writing {
		c.b = binary.BigEndian.AppendUint16(c.b, uint16(*p))
	} else if s := c.take(2); s != nil {
		*p = T(binary.BigEndian.Uint16(s))
	}
}

func u32(c *cursor, p *uint32) {
	if c.writing {
		c.b = binary.BigEndian.AppendUint32(c.b, *p)
	} else if s := c.take(4); s != nil {
		*p = binary.BigEndian.Uint32(s)
	}
}

func u64[T ~uint64 | ~int64](c *cursor, p *T) {
	if c.writing {
		c.b = binary.BigEndian.AppendUint64(c.b, uint64(*p))
	} else if s := c.take(8); s != nil {
		*p = T(binary.BigEndian.Uint64(s))
	}
}

// fixed walks an array, passed as the slice of all of it.
func (c *cursor) fixed(p []byte) {
	if c.writing {
		c.b = append(c.b, p...)
	} else if s := c.take(len(p)); s != nil {
		copy(p, s)
	}
}

// length walks a length or a count of `size` bytes (1 or 2), at most max. Items
// of at least `each` bytes follow it, and on reading they must all be there: what
// is allocated for them is then never more than what has been received.
func (c *cursor) length(field string, n, size, max, each int) int {
	if !c.writing {
		n = 0
		for _, x := range c.take(size) {
			n = n<<8 | int(x)
		}
	}
	switch {
	case c.fault != "":
		return 0
	case n > max:
		c.fail("has a " + field + " beyond its limit")
		return 0
	case c.writing && size == 1:
		c.b = append(c.b, byte(n))
	case c.writing:
		c.b = binary.BigEndian.AppendUint16(c.b, uint16(n))
	case n*each > len(c.b):
		c.fail("ends early")
		return 0
	}
	return n
}

func (c *cursor) str8(field string, p *string, max int)  { c.str(field, p, 1, max) }
func (c *cursor) str16(field string, p *string, max int) { c.str(field, p, 2, max) }

func (c *cursor) str(field string, p *string, size, max int) {
	n := c.length(field, len(*p), size, max, 1)
	if c.fault != "" {
		return
	}
	if c.writing {
		c.b = append(c.b, *p...)
	} else {
		*p = string(c.take(n))
	}
}

// bytes16 copies what it reads: a body lives in a buffer that is used again.
func (c *cursor) bytes16(field string, p *[]byte, max int) {
	n := c.length(field, len(*p), 2, max, 1)
	if c.fault != "" || n == 0 {
		return
	}
	if c.writing {
		c.b = append(c.b, *p...)
	} else {
		*p = bytes.Clone(c.take(n))
	}
}
