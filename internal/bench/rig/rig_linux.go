package rig

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
)

// Rig is the street, the home and the site.
type Rig struct {
	Street, Home, Site *Space
	Line               *Link // nil: a pair of interfaces
	Dir                string

	closing []func()
}

// Config says which line lies between street and home.
type Config struct {
	Link bool // a user-space line, else a pair of interfaces
	Seed uint64
}

// New builds the namespaces and joins them.
func New(c Config) (r *Rig, err error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: network namespaces need root", ErrMissing)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("%w: network namespaces need iproute2", ErrMissing)
	}
	r = &Rig{}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.Dir, err = os.MkdirTemp("", "sward-rig-"); err != nil {
		return nil, err
	}
	r.defers(func() { os.RemoveAll(r.Dir) })
	for _, s := range []struct {
		name string
		is   **Space
	}{{"street", &r.Street}, {"home", &r.Home}, {"site", &r.Site}} {
		if *s.is, err = NewSpace(s.name, r.Dir); err != nil {
			return nil, err
		}
		r.defers((*s.is).Close)
	}
	if err := r.join(c); err != nil {
		return nil, err
	}
	return r, r.Site.serveDNS()
}

func (r *Rig) defers(do func()) { r.closing = append(r.closing, do) }

// Close takes everything down, the last built first.
func (r *Rig) Close() {
	for i := len(r.closing) - 1; i >= 0; i-- {
		r.closing[i]()
	}
	r.closing = nil
}

func (r *Rig) join(c Config) error {
	if c.Link {
		line, err := NewLink(r.Street, r.Home, c.Seed)
		if err != nil {
			return err
		}
		r.Line = line
		r.defers(line.Close)
	} else if err := pair(r.Street, r.Home, Door, Home); err != nil {
		return err
	}
	if err := pair(r.Home, r.Site, homeToSite, siteToHome); err != nil {
		return err
	}
	return errors.Join(
		r.Street.IP("addr", "add", Street+"/32", "dev", "lo"),
		r.Street.IP("addr", "add", second+"/32", "dev", "lo"),
		r.Site.IP("addr", "add", Site+"/32", "dev", "lo"),
		r.Site.IP("addr", "add", dns+"/32", "dev", "lo"),
		r.Home.IP("route", "add", "44.128.0.0/24", "via", Door, "src", Home),
		r.Home.IP("rule", "add", "to", second, "ipproto", "udp", "prohibit"),
		r.Home.IP("route", "add", Site+"/32", "via", siteToHome),
		r.Home.IP("route", "add", dns+"/32", "via", siteToHome),
		// The direct road, without any program between, goes through the home as a router.
		r.Street.IP("route", "add", Site+"/32", "via", Home, "src", Street),
		r.Street.IP("route", "add", dns+"/32", "via", Home, "src", Street),
		r.Site.IP("route", "add", Street+"/32", "via", homeToSite),
		r.Site.IP("route", "add", "192.168.11.0/24", "via", homeToSite),
	)
}

// pair joins two namespaces by a pair of interfaces.
func pair(a, b *Space, addressA, addressB string) error {
	return errors.Join(
		Pair(a, "to-"+b.name, b, "to-"+a.name),
		a.IP("addr", "add", addressA+"/24", "dev", "to-"+b.name), a.IP("link", "set", "to-"+b.name, "up"),
		b.IP("addr", "add", addressB+"/24", "dev", "to-"+a.name), b.IP("link", "set", "to-"+a.name, "up"))
}

// Pair joins two namespaces by a pair of interfaces of the given names, without addresses.
func Pair(a *Space, inA string, b *Space, inB string) error {
	return a.IP("link", "add", inA, "type", "veth", "peer", "name", inB, "netns", fmt.Sprint(b.tid))
}

// ServeSite answers HTTP at the site's port 80.
func (r *Rig) ServeSite(handler http.Handler) error {
	l, err := r.Site.Listen(net.JoinHostPort(Site, "80"))
	if err != nil {
		return err
	}
	r.Serve(l, handler)
	return nil
}

// Serve answers HTTP on a listener until the rig is closed.
func (r *Rig) Serve(l net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headTimeout}
	go server.Serve(l) //nolint:errcheck // ends with Close
	r.defers(func() { server.Close() })
}
