package wire

import (
	"errors"
	"fmt"
	"time"
)

// Error is a code on its way to a peer or a partner. Detail is one sentence for
// people: it holds no credential, and the other side never parses it.
type Error struct {
	Code   Code
	Detail string
	Edge   ID            // the edge that refused; zero when none was involved
	After  time.Duration // when to try again, where it is known better than by the code; does not travel
}

// Errorf makes an Error. A %w in format is not kept: a cause stays on this side of
// the network.
func Errorf(c Code, format string, a ...any) *Error {
	return &Error{Code: c, Detail: fmt.Sprintf(format, a...)}
}

// Error is the code's name and the detail, or the code's meaning without one.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code.Name() + ": " + e.Code.Meaning()
	}
	return e.Code.Name() + ": " + e.Detail
}

// Retry is how long to wait before the same request is tried again; 0 when waiting
// does not help.
func (e *Error) Retry() time.Duration {
	if e.After > 0 {
		return e.After
	}
	return e.Code.Retry()
}

// CodeOf is the code that err carries: OK for nil, Internal for an error that
// carries none.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
