package agent

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sward/edge"
	"sward/internal/identity"
)

const (
	invitationScheme = "sward"
	// maxInvitation bounds what is read of one, in bytes: a name, an identity and an address are 150.
	maxInvitation = 1024
)

// errBrowserInvitation: a browser node's invitation names a relay's door for browsers, which is of no use to an agent.
var errBrowserInvitation = errors.New("this invitation is for a browser node; ask for one for a home agent")

// Invitation names a network and its hub in one line, which an operator gives out:
//
//	sward:main?at=hub.example:7400&hub=12D3KooW…
//
// It holds no secret, and whoever has it has agreed to nothing.
type Invitation struct {
	Network string
	Hub     edge.Hub
}

// String is the line.
func (i Invitation) String() string {
	trust := url.Values{"hub": {i.Hub.ID.String()}, "at": {i.Hub.Addr}}
	return (&url.URL{Scheme: invitationScheme, Opaque: i.Network, RawQuery: trust.Encode()}).String()
}

// isInvitation tells an invitation from a command.
func isInvitation(line string) bool {
	return strings.HasPrefix(strings.TrimSpace(line), invitationScheme+":")
}

// ParseInvitation reads one. The error is a sentence for the person who pasted it.
func ParseInvitation(line string) (i Invitation, err error) {
	line = strings.TrimSpace(line)
	u, err := url.Parse(line)
	if len(line) > maxInvitation || err != nil || u.Scheme != invitationScheme {
		return i, errors.New("this is not an invitation: it begins with sward: and is one line")
	}
	trust, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return i, errors.New("the invitation is damaged: copy the whole line once more, between quotes")
	}
	if trust.Has("relay") {
		return i, errBrowserInvitation
	}
	if i.Hub.ID, err = identity.ParseID(trust.Get("hub")); err != nil {
		// A shell that was not told otherwise cuts the line at its "&".
		return i, fmt.Errorf("the invitation names no hub; copy the whole line once more, between quotes: %w", err)
	}
	i.Network, i.Hub.Addr = u.Opaque, trust.Get("at")
	if err := identity.CheckNetwork(i.Network); err != nil {
		return i, fmt.Errorf("the invitation: %w", err)
	}
	if i.Hub.Addr == "" {
		return i, errors.New("the invitation does not say where the hub is; copy the whole line once more, between quotes")
	}
	return i, nil
}
