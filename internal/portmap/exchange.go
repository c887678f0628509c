package portmap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// portServer is where a router speaks NAT-PMP and PCP, and portClient where it announces that it has restarted
	// (RFC 6886 §3, RFC 6887 §19).
	portServer = 5351
	portClient = 5350
	// firstWait is for the first answer; each repetition waits twice as long (RFC 6886 §3.1). The router is in the house:
	// what has not come after exchangeTries, 1.75 s in all, does not come.
	firstWait     = 250 * time.Millisecond
	exchangeTries = 3
	// maxPortAnswer is what a router may answer at most, in bytes (RFC 6887 §7).
	maxPortAnswer = 1100
)

// errSilent says that nobody answered.
var errSilent = errors.New("no answer")

// exchange sends a request to the router until an answer comes that accept takes. The socket is connected, so that nobody
// else is heard, and a router that does not listen says so at once. make gets this host's address, which PCP wants inside.
func exchange(ctx context.Context, router netip.AddrPort, make func(inside netip.Addr) []byte, accept func(answer []byte) bool) error {
	c, err := new(net.Dialer).DialContext(ctx, "udp4", router.String())
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	request := make(c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
	answer := [maxPortAnswer]byte{}
	for try := range exchangeTries {
		if _, err := c.Write(request); err != nil {
			return cmp.Or(ctx.Err(), err)
		}
		c.SetReadDeadline(time.Now().Add(firstWait << try))
		if err := ctx.Err(); err != nil {
			return err // the deadline that it set may be gone
		}
		for {
			n, err := c.Read(answer[:])
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				break
			}
			if err != nil {
				return cmp.Or(ctx.Err(), err)
			}
			if accept(answer[:n]) {
				return nil
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("ask the router: %w", errSilent)
}
