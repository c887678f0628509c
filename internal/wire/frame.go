package wire

import (
	"fmt"
	"io"
)

// headerSize is a frame's head: type u8 and length u24.
const headerSize = 4

// ErrFrameTooLarge refuses a frame of more than MaxFrame bytes. A reader returns
// it before it allocates anything, and cannot go on: the stream is lost.
var ErrFrameTooLarge error = &Error{Code: ProtocolError, Detail: fmt.Sprintf("frame is longer than %d bytes", MaxFrame)}

// ErrBounds says that a message breaks a limit of its own layout, so that no
// reader would accept it. Nothing was written.
var ErrBounds error = &Error{Code: ProtocolError, Detail: "message breaks a limit of its layout"}

// Message is one frame's content. Append adds the body, without the frame's head,
// to b, or returns nil if a field breaks its limit.
type Message interface {
	Type() Type
	Append(b []byte) []byte
}

// Write sends m as one frame with one call to w.Write, so that concurrent writers
// need no more than a lock around it. The error is ErrBounds or ErrFrameTooLarge
// when m cannot be sent, else that of w.
func Write(w io.Writer, m Message) error {
	const typical = 256 // bytes: most frames but Count, Page and Body need no second allocation
	frame := m.Append(make([]byte, headerSize, typical))
	if frame == nil {
		return fmt.Errorf("write %s: %w", m.Type(), ErrBounds)
	}
	return writeFrame(w, m.Type(), frame)
}

// WriteFrame sends body as one frame of type t with one call to w.Write.
func WriteFrame(w io.Writer, t Type, body []byte) error {
	if len(body) > MaxFrame {
		return fmt.Errorf("write %s: %w", t, ErrFrameTooLarge)
	}
	return writeFrame(w, t, append(make([]byte, headerSize, headerSize+len(body)), body...))
}

// writeFrame fills in the head of frame and sends it.
func writeFrame(w io.Writer, t Type, frame []byte) error {
	n := len(frame) - headerSize
	if n > MaxFrame {
		return fmt.Errorf("write %s: %w", t, ErrFrameTooLarge)
	}
	frame[0], frame[1], frame[2], frame[3] = byte(t), byte(n>>16), byte(n>>8), byte(n)
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("write %s: %w", t, err)
	}
	return nil
}

// ReadFrame reads one frame. The body uses buf when it fits and is otherwise newly
// allocated, so a loop that passes the last body back allocates only to grow. The
// error is io.EOF when r ended between two frames, io.ErrUnexpectedEOF when it
// ended inside one, ErrFrameTooLarge before anything is allocated. A frame of a
// type the caller does not know has been skipped once it has been read.
func ReadFrame(r io.Reader, buf []byte) (Type, []byte, error) {
	if cap(buf) < headerSize {
		buf = make([]byte, headerSize)
	}
	head := buf[:headerSize]
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	t := Type(head[0])
	n := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	if n > MaxFrame {
		return t, nil, ErrFrameTooLarge
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	body := buf[:n]
	if _, err := io.ReadFull(r, body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return t, nil, fmt.Errorf("read %s: %w", t, err)
	}
	return t, body, nil
}
