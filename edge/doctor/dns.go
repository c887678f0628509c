package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// resolvConf is where systems of the unix kind say whom to ask; elsewhere it is missing, and left out of the report.
const resolvConf = "/etc/resolv.conf"

// maxResolvConf bounds what is read of it, in bytes.
const maxResolvConf = 64 << 10

// dns asks for names that exist and for names that cannot, as a stream would: with Go's own resolver and without a search
// list.
func (c Config) dns(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	var found []Finding
	if host, _, err := net.SplitHostPort(c.HubAddr); err == nil && net.ParseIP(host) == nil {
		if _, err := c.Resolve(ctx, host); err != nil {
			found = append(found, problem("dns", fmt.Sprintf("%s does not resolve: %v", host, err),
				"If other names do not resolve either, set another DNS server in the system's or the router's settings. If only this one fails, check hub.addr against your invitation."))
		}
	}
	servers, search := resolvers(resolvConf)
	through := ""
	if len(servers) > 0 {
		through = " through " + strings.Join(servers, ", ")
	}
	lie, err := c.invented(ctx)
	switch {
	case err != nil:
		found = append(found, problem("dns", "no DNS server answers"+through+": "+err.Error(),
			"Set another DNS server in the system's or the router's settings."))
	case lie != "":
		found = append(found, note("dns", "your DNS server answers for names that do not exist"+through+": "+lie,
			"Your provider sends mistyped names to a page of its own. Switch that off with your provider or use another DNS server: crawls would fetch that page in place of an error, and are not paid for it."))
	case len(found) == 0:
		found = append(found, ok("dns", "answers, and is honest about names that do not exist"+through))
	}
	if len(search) > 0 {
		found = append(found, ok("dns search", "the search list ("+strings.Join(search, ", ")+") is left out: a stranger's short name never becomes a name of yours"))
	}
	return found
}

// invented asks for names that nobody has: one that never can exist (RFC 6761 §6.4), and one that somebody would first
// have to buy. It returns the answer to either, if there is one.
func (c Config) invented(ctx context.Context) (lie string, err error) {
	for _, name := range []string{strings.ToLower(rand.Text()) + ".invalid", "sward-" + strings.ToLower(rand.Text()) + ".com"} {
		addrs, err := c.Resolve(ctx, name)
		if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
			continue
		}
		if err != nil {
			return "", err
		}
		if len(addrs) > 0 {
			return fmt.Sprintf("%s is said to be %s", name, addrs[0]), nil
		}
	}
	return "", nil
}

// resolvers reads whom this machine asks, and its search list. Without the file both are empty.
func resolvers(path string) (servers, search []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(io.LimitReader(f, maxResolvConf)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			servers = append(servers, words[1])
		case "search", "domain":
			search = words[1:] // the last one counts: resolv.conf(5)
		}
	}
	if len(search) == 1 && search[0] == "." {
		search = nil
	}
	return servers, search
}
