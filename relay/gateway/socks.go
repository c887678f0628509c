package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sward/internal/wire"
	"sward/policy"
)

// SOCKS5 on the wire: RFC 1928, and RFC 1929 for the credential.
const (
	socksVersion = 5

	socksUserPass = 2    // the one method spoken here
	socksNoMethod = 0xff // none of those offered will do

	socksLogin   = 1 // version of the sub-negotiation
	socksWelcome = 0 // its success; anything else is failure

	socksConnect = 1 // the one command

	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4
)

// errNotSOCKS ends a connection that breaks off or does not speak SOCKS5 to the letter: there is no reply for that.
var errNotSOCKS = errors.New("not SOCKS5")

// serveSOCKS carries one connection from its greeting to its end. What is refused before the request can only be told
// as a failed login, which has no reasons.
func (g *Gateway) serveSOCKS(ctx context.Context, c *client) {
	c.becomeTunnel(nil)
	c.SetDeadline(time.Now().Add(g.cfg.HeaderTime)) //nolint:errcheck // of the whole handshake: a closed one fails there
	who, exit, err := g.login(ctx, c)
	if err != nil {
		c.linger()
		return
	}
	conn, err := g.openSOCKS(ctx, c, who, exit)
	if errors.Is(err, errNotSOCKS) {
		return
	}
	if err != nil {
		e := refusal(err)
		g.note(e, err)
		c.Write(socksReply(e.Code)) //nolint:errcheck // the partner has gone
		c.linger()
		return
	}
	defer conn.Close()
	g.join(ctx, c, conn, string(socksReply(wire.OK)))
}

// login greets the client and finds its account, and the exit that it asks for. RFC 1929 has one byte for what is wrong
// with a login; ours tells by it what the code's reply would be: 1 a parameter that cannot be read, 2 a wrong key.
func (g *Gateway) login(ctx context.Context, c *client) (Account, Exit, error) {
	methods, err := readMethods(c)
	if err != nil {
		return nil, Exit{}, err
	}
	if bytes.IndexByte(methods, socksUserPass) < 0 {
		e := wire.Errorf(wire.AuthRequired, "user name and password are not offered")
		g.note(e, e)
		c.Write([]byte{socksVersion, socksNoMethod}) //nolint:errcheck // the partner has gone
		return nil, Exit{}, e
	}
	if _, err := c.Write([]byte{socksVersion, socksUserPass}); err != nil {
		return nil, Exit{}, err
	}
	user, pass, err := readLogin(c)
	if err != nil {
		return nil, Exit{}, err
	}
	who, exit, err := g.welcome(ctx, user, pass, c.from())
	if err != nil {
		e := refusal(err)
		g.note(e, err)
		c.Write([]byte{socksLogin, e.Code.SOCKS()}) //nolint:errcheck // the partner has gone
		return nil, Exit{}, e
	}
	_, err = c.Write([]byte{socksLogin, socksWelcome})
	return who, exit, err
}

// openSOCKS reads the request and connects for it.
func (g *Gateway) openSOCKS(ctx context.Context, c *client, who Account, exit Exit) (Conn, error) {
	target, err := readRequest(c)
	if err != nil {
		return nil, err
	}
	c.clearDeadlines()
	return g.dial(ctx, who, target, exit)
}

// socksReply answers a request. The bound address is left out, as the address of a home is nobody's business.
func socksReply(code wire.Code) []byte {
	return []byte{socksVersion, code.SOCKS(), 0, socksIPv4, 0, 0, 0, 0, 0, 0}
}

// readMethods reads the greeting: version, number of methods, methods.
func readMethods(r io.Reader) ([]byte, error) {
	head, err := read(r, 2)
	if err != nil || head[0] != socksVersion || head[1] == 0 {
		return nil, errNotSOCKS
	}
	return read(r, int(head[1]))
}

// readLogin reads the sub-negotiation: version, then name and key, each behind its length.
func readLogin(r io.Reader) (name, key string, err error) {
	head, err := read(r, 2)
	if err != nil || head[0] != socksLogin {
		return "", "", errNotSOCKS
	}
	user, err := read(r, int(head[1])+1)
	if err != nil {
		return "", "", err
	}
	pass, err := read(r, int(user[len(user)-1]))
	if err != nil {
		return "", "", err
	}
	return string(user[:len(user)-1]), string(pass), nil
}

// readRequest reads the request and parses its target as strictly as that of an HTTP request. The whole request is
// read before it is judged, so that a refusal is not overtaken by the reset that unread bytes cause.
func readRequest(r io.Reader) (policy.Target, error) {
	head, err := read(r, 4)
	if err != nil || head[0] != socksVersion {
		return policy.Target{}, errNotSOCKS
	}
	host, refused := readHost(r, head[3])
	if errors.Is(refused, errNotSOCKS) || wire.CodeOf(refused) == wire.UnsupportedAddress {
		return policy.Target{}, refused // where the port would be is unknown
	}
	port, err := read(r, 2)
	switch {
	case err != nil:
		return policy.Target{}, err
	case head[1] != socksConnect:
		return policy.Target{}, wire.Errorf(wire.UnsupportedCommand, "only CONNECT is carried")
	case refused != nil:
		return policy.Target{}, refused
	}
	target := policy.Target{Host: host}
	target.Port, err = policy.ParsePort(strconv.Itoa(int(binary.BigEndian.Uint16(port))))
	return target, err
}

// readHost reads an address of the given type. A name may be an IPv4 address in text, as some clients send it; an IPv6
// address has a type of its own.
func readHost(r io.Reader, kind byte) (policy.Host, error) {
	switch kind {
	case socksIPv4, socksIPv6:
		size := map[byte]int{socksIPv4: 4, socksIPv6: 16}[kind]
		b, err := read(r, size)
		if err != nil {
			return policy.Host{}, err
		}
		addr, _ := netip.AddrFromSlice(b)
		return policy.ParseHost(addr.String())
	case socksName:
		size, err := read(r, 1)
		if err != nil {
			return policy.Host{}, err
		}
		b, err := read(r, int(size[0]))
		if err != nil {
			return policy.Host{}, err
		}
		if name := string(b); !strings.ContainsAny(name, ":@") {
			return policy.ParseHost(name)
		}
		return policy.Host{}, wire.Errorf(wire.BadHost, "a name holds no address and no user information")
	}
	return policy.Host{}, wire.Errorf(wire.UnsupportedAddress, "address type %d is unknown", kind)
}

// read reads n bytes, at most 256: every length in SOCKS5 is a byte.
func read(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errNotSOCKS
	}
	return b, nil
}
