package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// openWait is how long the frames that open a hub's stream may take to arrive.
const openWait = 10 * time.Second

// serveHub accepts the hub's streams: each asks for an edge and is joined to it, metered and charged like a partner's.
func (r *Relay) serveHub(ctx context.Context, s *tunnel.Session) error {
	r.cfg.Log.Debug("hub connected", "hub", s.Peer())
	var streams sync.WaitGroup
	defer streams.Wait()
	told := &placesTold{session: s, edges: map[identity.ID]geo.Place{}}
	streams.Go(func() { // a hub has nothing to say on the control stream; reading it notices the end
		for {
			if _, _, err := s.Control(ctx); err != nil {
				return
			}
		}
	})
	for {
		stream, err := s.Accept(ctx)
		if err != nil {
			return err
		}
		streams.Go(func() {
			if err := r.serveHubStream(ctx, stream, told); err != nil {
				r.cfg.Log.Debug("hub stream ended", "err", err)
			}
		})
	}
}

func (r *Relay) serveHubStream(ctx context.Context, stream *tunnel.Stream, told *placesTold) error {
	defer stream.Close()
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	c, err := r.openForHub(opening, stream)
	if err != nil {
		code := wire.CodeOf(err)
		answer := wire.Opened{Code: code, Detail: detail(err)}
		if e, ok := errors.AsType[*wire.Error](err); ok {
			answer.Edge = e.Edge
		}
		wire.Write(stream, answer) //nolint:errcheck // the hub sees the stream end
		return err
	}
	defer c.Close()
	if err := told.tell(c.edge); err != nil {
		return err
	}
	if err := wire.Write(stream, wire.Opened{Edge: c.edge.id}); err != nil {
		return err
	}
	return c.Join(ctx, stream)
}

// maxTold bounds the edges whose place one hub has been told. Beyond it all are told again.
const maxTold = 10_000

// placesTold is what a hub knows of where edges are, so that it is told once.
type placesTold struct {
	session *tunnel.Session

	mu    sync.Mutex
	edges map[identity.ID]geo.Place
}

// tell says where an edge is, unless the hub has been told so.
func (p *placesTold) tell(e *edge) error {
	at := e.candidate().Place
	if at.Country == "" && at.ASN == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock() // of two streams to an edge neither may be joined before the word is out
	if p.edges[e.id] == at {
		return nil
	}
	country := at.Country
	if len(country) > wire.MaxCountry {
		country = ""
	}
	if err := p.session.Send(wire.Place{Edge: wire.ID(e.id), Country: country, ASN: at.ASN}); err != nil {
		return err
	}
	if len(p.edges) >= maxTold {
		clear(p.edges)
	}
	p.edges[e.id] = at
	return nil
}

// openForHub reads what the hub wants and opens a stream on such an edge.
func (r *Relay) openForHub(ctx context.Context, stream net.Conn) (*conn, error) {
	if err := stream.SetReadDeadline(time.Now().Add(openWait)); err != nil {
		return nil, err
	}
	t, body, err := wire.ReadFrame(stream, nil)
	if err != nil {
		return nil, err
	}
	var w Want
	if t == wire.TypeRoute {
		route, err := wire.ParseRoute(body)
		if err != nil {
			return nil, err
		}
		w.Edge = route.Edge
		for _, id := range route.Avoid {
			w.Avoid = append(w.Avoid, identity.ID(id))
		}
		if t, body, err = wire.ReadFrame(stream, nil); err != nil {
			return nil, err
		}
	}
	if t != wire.TypeOpen {
		return nil, wire.Errorf(wire.ProtocolError, "a stream begins with Open, not %s", t)
	}
	open, err := wire.ParseOpen(body)
	if err != nil {
		return nil, err
	}
	if err := stream.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	signed, err := accounting.ParseSignedGrant(open.Grant)
	if err != nil {
		return nil, wire.Errorf(wire.GrantInvalid, "%v", err)
	}
	if err := r.checkGrant(signed); err != nil {
		return nil, err
	}
	if open.Hops > 0 {
		return nil, wire.Errorf(wire.Loop, "the stream has passed a relay already")
	}
	w.App = open.App
	c, err := r.open(ctx, w, r.adopt(signed), open.Host, open.Port, open.Hops+1)
	if err != nil {
		return nil, fmt.Errorf("open for the hub: %w", err)
	}
	return c, nil
}
