package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/huin/goupnp"
)

const (
	// maxRouterAnswer bounds what is read from anything that claims to be a
	// router, in bytes; real descriptions have 5 to 20 KiB.
	maxRouterAnswer = 1 << 20
	// describeTimeout bounds the reading of one description.
	describeTimeout = 4 * time.Second
	// maxName bounds a router's name, in letters.
	maxName = 60
)

// homeClient is for all HTTP with routers. Anything at home can claim to be
// one, so it goes nowhere but to the home network, by no proxy and no redirect,
// and reads no more than maxRouterAnswer.
var homeClient = &http.Client{
	Transport:     homeOnly{&http.Transport{DisableKeepAlives: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type homeOnly struct{ http.RoundTripper }

func (h homeOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if a, err := netip.ParseAddr(req.URL.Hostname()); err != nil || !atHome(a) {
		return nil, errors.New("not an address of the home network")
	}
	resp, err := h.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxRouterAnswer), resp.Body}
	}
	return resp, err
}

func atHome(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || sharedSpace.Contains(a)
}

// describe reads a device's description. (goupnp would read it with a client that the whole program shares.)
func describe(ctx context.Context, place *url.URL) (*goupnp.RootDevice, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("read the router's description: %w", err)
	}
	resp, err := homeClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the router's description: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the router's description: %s", resp.Status)
	}
	device := new(goupnp.RootDevice)
	d := xml.NewDecoder(resp.Body)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	d.CharsetReader = latin
	if err := d.Decode(device); err != nil {
		return nil, fmt.Errorf("read the router's description: %w", err)
	}
	base := place
	if device.URLBaseStr != "" {
		if base, err = url.Parse(device.URLBaseStr); err != nil {
			return nil, fmt.Errorf("read the router's description: %w", err)
		}
	}
	device.SetURLBase(base)
	return device, nil
}

// latin reads the one encoding beside UTF-8 in which routers describe themselves.
func latin(charset string, input io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "us-ascii", "windows-1252": // the last differs in signs that no address has
	default:
		return nil, fmt.Errorf("in %.40q, which is not read here", charset)
	}
	all, err := io.ReadAll(input)
	if err != nil {
		return nil, err
	}
	letters := make([]rune, len(all))
	for i, b := range all {
		letters[i] = rune(b)
	}
	return strings.NewReader(string(letters)), nil
}

// named is a name that a router gives itself, fit to be shown.
func named(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "")))
	if letters := []rune(name); len(letters) > maxName {
		name = string(letters[:maxName]) + "…"
	}
	return name
}

// insideAddr is the address from which this host reaches another. Dialling UDP chooses it without sending anything.
func insideAddr(ctx context.Context, host netip.Addr) (netip.Addr, error) {
	const discard = 9 // any port would do
	c, err := new(net.Dialer).DialContext(ctx, "udp4", netip.AddrPortFrom(host, discard).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
