package accounting

import (
	"encoding/binary"
	"errors"
)

// walker goes over the fields of an event, to write them or to read them: one description for both, so they cannot
// differ. After the first error it does nothing.
type walker struct {
	b       []byte
	writing bool
	err     error
}

func (w *walker) fail(why string) {
	if w.err == nil {
		w.err = errors.New(why)
	}
}

func (w *walker) fixed(p []byte) {
	if w.err != nil {
		return
	}
	if w.writing {
		w.b = append(w.b, p...)
		return
	}
	if len(w.b) < len(p) {
		w.err = ErrLength
		return
	}
	copy(p, w.b)
	w.b = w.b[len(p):]
}

func (w *walker) u16(v *uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], *v)
	w.fixed(b[:])
	*v = binary.BigEndian.Uint16(b[:])
}

func (w *walker) u32(v *uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], *v)
	w.fixed(b[:])
	*v = binary.BigEndian.Uint32(b[:])
}

func (w *walker) u64(v *uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], *v)
	w.fixed(b[:])
	*v = binary.BigEndian.Uint64(b[:])
}

func (w *walker) i64(v *int64) {
	u := uint64(*v)
	w.u64(&u)
	*v = int64(u)
}

func (w *walker) micro(m *Micro) { w.i64((*int64)(m)) }

func (w *walker) str8(s *string, max int) {
	n := [1]byte{byte(len(*s))}
	if len(*s) > max {
		w.fail("a text is too long")
	}
	w.fixed(n[:])
	if int(n[0]) > max {
		w.fail("a text is too long")
	}
	b := []byte(*s)
	if !w.writing {
		b = make([]byte, n[0])
	}
	w.fixed(b)
	*s = string(b)
}

func (w *walker) bytes16(p *[]byte) {
	n := uint16(len(*p))
	if len(*p) != int(n) {
		w.fail("a field is too long")
	}
	w.u16(&n)
	if !w.writing {
		if len(w.b) < int(n) {
			w.fail("ends early")
			return
		}
		*p = make([]byte, n)
	}
	w.fixed(*p)
}
