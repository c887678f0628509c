package tunnel

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"sward/internal/wire"
)

const (
	// frameHead is the size of a frame's head: type u8, length u24.
	frameHead = 4
)

// Send sends one frame on the control stream. A frame that breaks its own limits
// is an error and harms nothing; one that the peer does not take in 10 s ends the
// session.
func (s *Session) Send(m wire.Message) error {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	s.control.SetWriteDeadline(time.Now().Add(sendTimeout)) //nolint:errcheck // a stream that has ended says so at the write
	err := wire.Write(s.control, m)
	switch {
	case err == nil, errors.Is(err, wire.ErrBounds), errors.Is(err, wire.ErrFrameTooLarge):
		return err
	case timedOut(err):
		// Half a frame may have left, after which nothing can be understood.
		s.end(wire.ProtocolError, "control stream is not read")
		return err
	}
	return s.ended(err)
}

// Control returns the next frame of the control stream, whatever its type: the
// caller skips those it does not know. When ctx ends the next call goes on where
// this one stopped. A frame beyond the limit, or a Bye that is malformed, closes
// the session with protocol_error. A Bye stops new streams and is then returned
// like any frame. After the peer's end of the stream, Control waits until the
// streams here have ended too, closes the session, and returns io.EOF.
func (s *Session) Control(ctx context.Context) (wire.Type, []byte, error) {
	t, body, err := s.readControl(ctx)
	s.pace.mind()
	switch {
	case err == nil && t == wire.TypeBye:
		if _, err := wire.ParseBye(body); err != nil {
			return 0, nil, s.broken(err)
		}
		s.drain()
		return t, body, nil
	case err == nil:
		return t, body, nil
	case ctx.Err() != nil:
		return 0, nil, ctx.Err()
	case errors.Is(err, io.EOF):
		s.drain()
		if err := s.Wait(ctx); err != nil {
			return 0, nil, err
		}
		s.end(wire.OK, "")
		return 0, nil, io.EOF
	case errors.Is(err, wire.ErrFrameTooLarge), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, nil, s.broken(err)
	}
	if _, reset := errors.AsType[*cutError](err); reset {
		return 0, nil, s.broken(wire.Errorf(wire.ProtocolError, "control stream was reset"))
	}
	return 0, nil, s.ended(err)
}

// readControl reads one frame. What has come of one when the context ends is kept
// for the next call.
func (s *Session) readControl(ctx context.Context) (wire.Type, []byte, error) {
	defer until(ctx, s.control.SetReadDeadline)()
	if err := s.fill(ctx, frameHead); err != nil {
		return 0, nil, err
	}
	length := int(s.partial[1])<<16 | int(s.partial[2])<<8 | int(s.partial[3])
	if length > wire.MaxFrame {
		return 0, nil, wire.ErrFrameTooLarge
	}
	if err := s.fill(ctx, frameHead+length); err != nil {
		return 0, nil, err
	}
	frame := s.partial
	s.partial = nil
	return wire.Type(frame[0]), frame[frameHead:], nil
}

// fill reads until partial has so many bytes.
func (s *Session) fill(ctx context.Context, size int) error {
	s.partial = slices.Grow(s.partial, max(size-len(s.partial), 0))
	for len(s.partial) < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := s.control.Read(s.partial[len(s.partial):size])
		s.partial = s.partial[:len(s.partial)+n]
		switch {
		case len(s.partial) == size:
		case errors.Is(err, io.EOF) && len(s.partial) > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// broken closes a session whose peer broke the protocol.
func (s *Session) broken(err error) error {
	fault, ok := errors.AsType[*wire.Error](err)
	if !ok {
		fault = wire.Errorf(wire.ProtocolError, "%v", err)
	}
	s.log.Debug("session broke the protocol", "peer", s.peer, "err", err)
	s.end(fault.Code, fault.Detail)
	return fault
}
