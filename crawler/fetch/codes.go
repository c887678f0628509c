package fetch

import (
	"context"
	"errors"
	"net"
	"syscall"

	"sward/internal/wire"
	"sward/policy"
)

// dialError and tlsError mark how far an exchange came, which the transport's own
// errors do not tell.
type (
	dialError struct{ error }
	tlsError  struct{ error }
)

func (e *dialError) Unwrap() error { return e.error }
func (e *tlsError) Unwrap() error  { return e.error }

// codeOf puts a failure into the network's words. Errors that carry a code keep it: a
// refusal of the dialer's gate arrives as what it is. An answer that is not HTTP, or
// not in the coding it claims, counts as a target that closed the connection: the code
// set has no closer one, and protocol_error would blame the relay.
func codeOf(err error) wire.Code {
	if err == nil {
		return wire.OK
	}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Code
	}
	if d, ok := errors.AsType[*policy.Denied](err); ok {
		if c, ok := wire.CodeByName(d.Rule); ok {
			return c
		}
		return wire.BadHost
	}
	if d, ok := errors.AsType[*dialError](err); ok {
		return dialCode(d.error)
	}
	if _, ok := errors.AsType[*tlsError](err); ok {
		return wire.TLSError
	}
	if isTimeout(err) {
		return wire.FetchTimeout
	}
	return wire.TargetClosed
}

// dialCode tells apart the ways in which a connection does not come about.
func dialCode(err error) wire.Code {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return wire.DNSNotFound
		}
		return wire.DNSError
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return wire.DialRefused
	case isTimeout(err):
		return wire.DialTimeout
	}
	return wire.DialUnreachable
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && n.Timeout()
}
