package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apernet/quic-go"
	"golang.org/x/sync/errgroup"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// statusEvery is how often an edge tells what its owner allows, as package edge does.
	statusEvery = 30 * time.Second
	// edgeIdle and edgeKeepAlive are those of package tunnel.
	edgeIdle      = 45 * time.Second
	edgeKeepAlive = edgeIdle / 3
	// dialTries is how often an edge tries again that a busy relay turned away.
	dialTries = 20
)

// crowd is many edges on few sockets.
type crowd struct {
	relay   string
	sockets []*quic.Transport
	refused atomic.Int64

	cancel context.CancelFunc
	wg     sync.WaitGroup // of the edges' own work
}

// connect makes all edges known to the relay.
func (p plan) connect(ctx context.Context, r *relayProcess) (c *crowd, err error) {
	living, cancel := context.WithCancel(ctx)
	c = &crowd{relay: r.addr, cancel: cancel}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for range p.sockets {
		pc, err := new(net.ListenConfig).ListenPacket(ctx, "udp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		c.sockets = append(c.sockets, &quic.Transport{Conn: pc})
	}
	dialing, stop := errgroup.WithContext(ctx)
	dialing.SetLimit(p.dials)
	for i := range p.edges {
		dialing.Go(func() error { return c.join(stop, living, i) })
	}
	if err := dialing.Wait(); err != nil {
		return nil, fmt.Errorf("connect %d edges: %w", p.edges, err)
	}
	for { // a channel is open when the relay says so
		now, err := r.look()
		if err != nil || now.Edges == p.edges {
			return c, err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// close ends the edges and their sockets.
func (c *crowd) close() {
	c.cancel()
	for _, t := range c.sockets {
		t.Close()
		t.Conn.Close()
	}
	c.wg.Wait()
}

// join connects one edge and leaves it to itself.
func (c *crowd) join(ctx, living context.Context, i int) error {
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		e := &idleEdge{key: key}
		err := e.greet(ctx, c.sockets[i%len(c.sockets)], c.relay)
		if err == nil {
			c.wg.Go(func() { e.hear() })
			c.wg.Go(func() { e.report(living) })
			return nil
		}
		if try == dialTries || ctx.Err() != nil {
			return fmt.Errorf("edge %d: %w", i, err)
		}
		c.refused.Add(1)
		if err := wait(ctx, time.Duration(try)*100*time.Millisecond); err != nil {
			return err
		}
	}
}

// idleEdge does on the wire what an edge does to which nobody comes.
type idleEdge struct {
	key     identity.Key
	conn    *quic.Conn
	control *quic.Stream
}

// greet connects, introduces itself and opens a channel of account.
func (e *idleEdge) greet(ctx context.Context, t *quic.Transport, relay string) (err error) {
	addr, err := net.ResolveUDPAddr("udp", relay)
	if err != nil {
		return err
	}
	config := e.key.TLSConfig(identity.Only(relayKey.ID()))
	config.NextProtos = []string{wire.ALPN}
	e.conn, err = t.Dial(ctx, addr, config, &quic.Config{
		MaxIdleTimeout: edgeIdle, KeepAlivePeriod: edgeKeepAlive, HandshakeIdleTimeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.conn.CloseWithError(0, "") //nolint:errcheck // it has ended either way
		}
	}()
	if e.control, err = e.conn.OpenStream(); err != nil {
		return err
	}
	err = wire.Write(e.control, wire.Hello{
		Version: wire.Version, Role: wire.RoleEdge, Apps: wire.AppsOf(wire.AppProxy), Streams: 64,
		Clock: time.Now().UnixMilli(), Network: network, Agent: "scale", Consent: consent,
	})
	if err != nil {
		return err
	}
	if _, err := e.await(wire.TypeWelcome); err != nil {
		return err
	}
	return e.openChannel()
}

// openChannel signs the channel that the relay offers.
func (e *idleEdge) openChannel() error {
	channelKey, err := identity.NewKey()
	if err != nil {
		return err
	}
	ask := wire.ChannelAsk{ChannelKey: channelKey.ID(), Consent: consent}
	rand.Read(ask.Nonce[:]) //nolint:errcheck // never fails (crypto/rand)
	if err := wire.Write(e.control, ask); err != nil {
		return err
	}
	body, err := e.await(wire.TypeChannelOffer)
	if err != nil {
		return err
	}
	offer, err := wire.ParseChannelOffer(body)
	if err != nil {
		return err
	}
	channel, err := accounting.ParseChannel(offer.Body)
	if err != nil {
		return err
	}
	return wire.Write(e.control, wire.ChannelAccept{
		Channel: channel.ID(network), Sig: [64]byte(channel.Sign(network, e.key)),
	})
}

// await skips to the next frame of a type.
func (e *idleEdge) await(want wire.Type) (body []byte, err error) {
	e.control.SetReadDeadline(time.Now().Add(readyWait)) //nolint:errcheck // a stream that has ended needs none
	defer e.control.SetReadDeadline(time.Time{})         //nolint:errcheck // likewise
	for {
		t, body, err := wire.ReadFrame(e.control, nil)
		switch {
		case err != nil:
			return nil, err
		case t == want:
			return body, nil
		case t == wire.TypeBye:
			bye, err := wire.ParseBye(body)
			if err != nil {
				return nil, err
			}
			return nil, &wire.Error{Code: bye.Code, Detail: bye.Detail}
		}
	}
}

// hear reads what the relay says, to the end.
func (e *idleEdge) hear() {
	var body []byte
	for err := error(nil); err == nil; {
		_, body, err = wire.ReadFrame(e.control, body)
	}
}

// report says now and then that all is as it was.
func (e *idleEdge) report(ctx context.Context) {
	for wait(ctx, statusEvery) == nil {
		if wire.Write(e.control, wire.Status{Flags: wire.StatusSealed, Room: 1 << 40, Apps: wire.AppsOf(wire.AppProxy)}) != nil {
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
