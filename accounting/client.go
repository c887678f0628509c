package accounting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	callTimeout = 20 * time.Second // one call, the reading of its answer included
	maxAnswer   = 8 << 20          // bytes of an answer: a directory of ten thousand relays
	maxIdle     = 4                // connections kept to the hub
)

// Client speaks to the hub: relays, edges and the operator's tool use the same one, and the hub knows by the key who
// may ask what. It trusts exactly one hub key and no certificate authority. Safe for concurrent use.
//
// An error of the hub is a *wire.Error with the hub's code; one of the way to it has the code hub_away.
type Client struct {
	Addr    string           // host:port of the hub
	Network string           // what grants and the directory must be signed for
	Hub     identity.ID      // the hub's key, pinned
	Key     identity.Key     // who calls
	Clock   func() time.Time // by which the directory expires; nil: time.Now

	once sync.Once
	http *http.Client
}

// Authorise checks a partner's name and key and reserves up to want bytes of its balance on a grant for this relay.
func (c *Client) Authorise(ctx context.Context, name, key string, want uint64) (Allowance, error) {
	return c.grant(ctx, pathAuthorise, authoriseCall{Name: name, Key: key, Want: want})
}

// Renew extends a grant that this relay holds: the same grant, signed again with up to want bytes more and a later end.
// It needs no key of the partner. A stream that outlives its grant's first limit goes on under the same id.
func (c *Client) Renew(ctx context.Context, held GrantID, want uint64) (Allowance, error) {
	return c.grant(ctx, pathRenew, renewCall{Grant: held, Want: want})
}

func (c *Client) grant(ctx context.Context, path string, call any) (Allowance, error) {
	var answer grantAnswer
	if err := c.call(ctx, http.MethodPost, path, call, &answer); err != nil {
		return Allowance{}, err
	}
	g, err := ParseSignedGrant(answer.Grant)
	if err == nil {
		err = g.Verify(c.Network, c.Hub)
	}
	if err != nil {
		return Allowance{}, wire.Errorf(wire.GrantInvalid, "from the hub: %v", err)
	}
	answer.Terms.Limits = answer.Terms.Limits.over(DefaultLimits()) // a hub that says none means these
	return Allowance{g, answer.Terms}, nil
}

// Release gives back what is left of a grant. finals names each channel on which the grant was used; the rest returns
// to the partner when their last receipts are on file, and at the latest a day after the grant's expiry.
func (c *Client) Release(ctx context.Context, held GrantID, finals []Final) (Released, error) {
	var answer Released
	err := c.call(ctx, http.MethodPost, pathRelease, releaseCall{Grant: held, Finals: finals}, &answer)
	return answer, err
}

// Settle hands in channels and their receipts; either side of a channel may. To hand in the same ones again changes
// nothing, so whoever is in doubt repeats. The answer has one entry for each channel of the batch.
func (c *Client) Settle(ctx context.Context, channels []SignedChannel, receipts []SignedReceipt) ([]Settled, error) {
	body, err := appendBatch(nil, channels, receipts)
	if err != nil {
		return nil, wire.Errorf(wire.BadRequest, "%v", err)
	}
	var answer settleAnswer
	err = c.send(ctx, http.MethodPost, pathSettle, "application/octet-stream", body, &answer)
	return answer.Channels, err
}

// Heartbeat tells the hub that this relay is there, and where, and brings back what it has to obey.
func (c *Client) Heartbeat(ctx context.Context, h Heartbeat) (Orders, error) {
	var answer Orders
	err := c.call(ctx, http.MethodPost, pathHeartbeat, h, &answer)
	return answer, err
}

// History is what the hub has credited to an edge.
func (c *Client) History(ctx context.Context, edge identity.ID) (History, error) {
	var answer History
	return answer, c.call(ctx, http.MethodPost, pathHistory, historyCall{Edge: edge}, &answer)
}

// ReportUsage tells the hub what partners used through this relay. The same report said again changes nothing.
func (c *Client) ReportUsage(ctx context.Context, report UsageReport) error {
	return c.call(ctx, http.MethodPost, pathReport, report, nil)
}

// Directory fetches the network's directory and checks the hub's signature on it.
func (c *Client) Directory(ctx context.Context) (SignedDirectory, error) {
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodGet, pathDirectory, nil, &raw); err != nil {
		return SignedDirectory{}, err
	}
	now := time.Now
	if c.Clock != nil {
		now = c.Clock
	}
	d, err := VerifyDirectory(c.Network, c.Hub, raw, now())
	if err != nil {
		return SignedDirectory{}, wire.Errorf(wire.ProtocolError, "from the hub: %v", err)
	}
	return d, nil
}

// Consent redeems an owner's code for this edge, with the hash of the terms the owner agreed to.
func (c *Client) Consent(ctx context.Context, code string, consent [32]byte) error {
	return c.call(ctx, http.MethodPost, pathConsent, consentCall{Code: code, Consent: consent}, nil)
}

// Account is what this edge has earned.
func (c *Client) Account(ctx context.Context) (EdgeAccount, error) {
	var answer EdgeAccount
	err := c.call(ctx, http.MethodGet, pathAccount, nil, &answer)
	return answer, err
}

// Statement is what this edge has earned between two days, and which receipts it rests on.
func (c *Client) Statement(ctx context.Context, q StatementQuery) (Statement, error) {
	var answer Statement
	err := c.call(ctx, http.MethodPost, pathStatement, q, &answer)
	return answer, err
}

// AddPartner opens an account and returns its key, which is shown this once. purpose is policy's code. Operator only,
// like all that follow.
func (c *Client) AddPartner(ctx context.Context, name string, purpose uint16) (key string, err error) {
	var answer partnerAnswer
	err = c.call(ctx, http.MethodPost, pathPartner, partnerCall{Name: name, Purpose: purpose}, &answer)
	return answer.Key, err
}

// Credit adds prepaid bytes to a partner's balance, at today's price.
func (c *Client) Credit(ctx context.Context, name string, bytes uint64) error {
	return c.call(ctx, http.MethodPost, pathCredit, creditCall{Name: name, Bytes: bytes}, nil)
}

// SetLimits replaces a partner's limits.
func (c *Client) SetLimits(ctx context.Context, name string, l Limits) error {
	return c.call(ctx, http.MethodPost, pathLimits, limitsCall{Name: name, Limits: l}, nil)
}

// Usage is a partner's account.
func (c *Client) Usage(ctx context.Context, name string) (Usage, error) {
	var answer Usage
	err := c.call(ctx, http.MethodPost, pathUsage, usageCall{Name: name}, &answer)
	return answer, err
}

// UsageBetween is what a partner used between two days, and what for.
func (c *Client) UsageBetween(ctx context.Context, q UsageQuery) (UsageAnswer, error) {
	var answer UsageAnswer
	err := c.call(ctx, http.MethodPost, pathBetween, q, &answer)
	return answer, err
}

// Invite makes a code with which one owner registers one edge.
func (c *Client) Invite(ctx context.Context) (Invite, error) {
	var answer Invite
	err := c.call(ctx, http.MethodPost, pathInvite, struct{}{}, &answer)
	return answer, err
}

// AdmitRelay lets a relay in and publishes it in the directory.
func (c *Client) AdmitRelay(ctx context.Context, r RelayInfo) error {
	return c.call(ctx, http.MethodPost, pathRelay, r, nil)
}

// Suspend stops an edge or a relay from opening channels; an empty reason lets it back in.
func (c *Client) Suspend(ctx context.Context, peer identity.ID, reason string) error {
	return c.call(ctx, http.MethodPost, pathSuspend, suspendCall{Peer: peer, Reason: reason}, nil)
}

// Summary is the whole network in numbers.
func (c *Client) Summary(ctx context.Context) (Summary, error) {
	var answer Summary
	err := c.call(ctx, http.MethodGet, pathSummary, nil, &answer)
	return answer, err
}

// Close drops idle connections. The client can be used again.
func (c *Client) Close() { c.transport().CloseIdleConnections() }

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode %s: %w", path, err)
		}
	}
	return c.send(ctx, method, path, "application/json", body, out)
}

func (c *Client) send(ctx context.Context, method, path, kind string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	target := url.URL{Scheme: "https", Host: c.Addr, Path: path}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call hub at %s: %w", c.Addr, err)
	}
	request.Header.Set("Content-Type", kind)
	answer, err := c.transport().Do(request)
	if err != nil {
		return wire.Errorf(wire.HubAway, "call hub: %v", withoutURL(err))
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return wire.Errorf(wire.HubAway, "read the hub's answer: %v", err)
	}
	if len(data) > maxAnswer {
		return wire.Errorf(wire.ProtocolError, "the hub's answer is longer than %d bytes", maxAnswer)
	}
	if answer.StatusCode/100 != 2 {
		var f failure
		if err := json.Unmarshal(data, &f); err != nil || f.Error.Code == "" {
			return wire.Errorf(wire.ProtocolError, "the hub answered status %d without a reason", answer.StatusCode)
		}
		return f.wire()
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return wire.Errorf(wire.ProtocolError, "the hub's answer to %s: %v", path, err)
	}
	return nil
}

// transport reads nothing of the environment: a proxy variable must not come between a relay and its hub.
func (c *Client) transport() *http.Client {
	c.once.Do(func() {
		c.http = &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:     c.Key.TLSConfig(identity.Only(c.Hub)),
				TLSHandshakeTimeout: 10 * time.Second,
				MaxConnsPerHost:     maxIdle,
				MaxIdleConnsPerHost: maxIdle,
				IdleConnTimeout:     90 * time.Second, // below the two minutes for which servers keep theirs
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the hub does not redirect") },
		}
	})
	return c.http
}

// withoutURL keeps the hub's address out of an error that may be logged far from here.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
