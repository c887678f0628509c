package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"sward/internal/wire"
	"sward/policy"
)

const (
	// screenWait bounds the look at one batch: its one host is resolved once.
	screenWait = 10 * time.Second
	// screenHosts is how many hosts a batch may name. It should be one; a site and its "www" are common.
	screenHosts = 4
	// frameHead is a frame's type and length.
	frameHead = 4
)

// screen stands before a crawl stream to a browser, which resolves names itself and cannot say to what: it reads the
// Batch on its way and lets it pass only if each URL is https and each host has nothing but public addresses.
//
// What remains open is that the browser may get another answer than this relay did. That is why plain http is refused: a
// machine in somebody's home has no certificate for the name that was turned on it.
type screen struct {
	stream
	ctx     context.Context
	resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	gate    policy.Gate

	pending []byte // of a frame that is not whole yet; the writer's

	mu     sync.Mutex
	answer *bytes.Reader // what the crawler hears instead of the node, once a batch was refused
}

// Write collects whole frames and passes those on that are let through.
func (s *screen) Write(p []byte) (int, error) {
	if s.refused() != nil {
		return len(p), nil // the answer is on its way: what comes after it goes nowhere
	}
	s.pending = append(s.pending, p...)
	for len(s.pending) >= frameHead {
		n := frameHead + (int(s.pending[1])<<16 | int(s.pending[2])<<8 | int(s.pending[3]))
		if n > frameHead+wire.MaxFrame {
			return 0, wire.ErrFrameTooLarge
		}
		if len(s.pending) < n {
			break
		}
		frame := s.pending[:n]
		if err := s.check(wire.Type(frame[0]), frame[frameHead:]); err != nil {
			s.refuse(wire.CodeOf(err))
			return len(p), nil
		}
		if _, err := s.stream.Write(frame); err != nil {
			return 0, err
		}
		s.pending = s.pending[n:]
	}
	return len(p), nil
}

// Read is the node's answer, or this relay's in its place.
func (s *screen) Read(p []byte) (int, error) {
	if answer := s.refused(); answer != nil {
		return answer.Read(p)
	}
	n, err := s.stream.Read(p)
	if answer := s.refused(); answer != nil && err != nil && !errors.Is(err, io.EOF) {
		return answer.Read(p) // it was refused while this call waited
	}
	return n, err
}

func (s *screen) refused() *bytes.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answer
}

// refuse ends the batch for the crawler, and the stream for the node.
func (s *screen) refuse(code wire.Code) {
	var b bytes.Buffer
	if err := wire.Write(&b, wire.BatchEnd{Code: code}); err != nil {
		b.Reset() // unreachable: the frame has two numbers. The crawler then sees the end.
	}
	s.mu.Lock()
	s.answer = bytes.NewReader(b.Bytes())
	s.mu.Unlock()
	s.stream.Reset()
}

// check judges one frame: only a batch has somewhere to go.
func (s *screen) check(t wire.Type, body []byte) error {
	if t != wire.TypeBatch {
		return nil
	}
	batch, err := wire.ParseBatch(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, screenWait)
	defer cancel()
	seen := map[policy.Host]bool{}
	for _, raw := range batch.URLs {
		host, err := screenURL(raw)
		if err != nil {
			return coded(err)
		}
		if seen[host] {
			continue
		}
		if len(seen) == screenHosts {
			return wire.Errorf(wire.BadRequest, "a batch is about one host")
		}
		seen[host] = true
		if err := s.checkHost(ctx, host); err != nil {
			return coded(err)
		}
	}
	return nil
}

// screenURL is the host of a URL that a browser may be sent to. What an agent might fetch all the same is refused with a
// code after which the crawler asks another edge.
func screenURL(raw string) (policy.Host, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return policy.Host{}, wire.Errorf(wire.BadHost, "not a URL to fetch")
	case u.Scheme != "https":
		return policy.Host{}, wire.Errorf(wire.PlainHTTPDenied, "browsers' nodes fetch by https only")
	case u.Port() != "" && u.Port() != "443":
		return policy.Host{}, wire.Errorf(wire.PortNotAllowed, "browsers' nodes fetch from port 443 only")
	}
	target, err := policy.ParseTarget(net.JoinHostPort(u.Hostname(), "443"))
	if err != nil {
		return policy.Host{}, err
	}
	if _, literal := target.Host.Addr(); literal {
		return policy.Host{}, wire.Errorf(wire.AppDenied, "browsers' nodes fetch from names only")
	}
	return target.Host, nil
}

func (s *screen) checkHost(ctx context.Context, host policy.Host) error {
	addrs, err := s.resolve(ctx, host.Name())
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) && dns.IsNotFound {
		return wire.Errorf(wire.DNSNotFound, "")
	}
	if err != nil {
		return wire.Errorf(wire.DNSError, "")
	}
	return s.gate.CheckAll(addrs)
}

// coded gives a verdict of policy the code of the same name.
func coded(err error) error {
	denied := (*policy.Denied)(nil)
	if !errors.As(err, &denied) {
		return err
	}
	code, known := wire.CodeByName(denied.Rule)
	if !known {
		code = wire.BadHost
	}
	return wire.Errorf(code, "%s", denied.Detail)
}
