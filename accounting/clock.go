package accounting

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sward/internal/wire"
)

// Now is the hub's clock, good to a second and half of a round trip. Grants, channels and the directory expire by it, and
// a relay refuses an edge whose clock is minutes off.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	target := url.URL{Scheme: "https", Host: c.Addr, Path: pathDirectory}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, target.String(), nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("call hub at %s: %w", c.Addr, err)
	}
	answer, err := c.transport().Do(request)
	if err != nil {
		return time.Time{}, wire.Errorf(wire.HubAway, "call hub: %v", withoutURL(err))
	}
	answer.Body.Close()
	now, err := http.ParseTime(answer.Header.Get("Date")) // any status has one (RFC 9110 §6.6.1)
	if err != nil {
		return time.Time{}, wire.Errorf(wire.ProtocolError, "the hub's answer has no date")
	}
	return now, nil
}
