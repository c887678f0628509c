package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sward/internal/wire"
)

const (
	// worstSkew is where relays refuse an edge; at half of it there is still time to set the clock.
	worstSkew = 5 * time.Minute
	muchSkew  = worstSkew / 2
)

// clock holds this machine's clock to the hub's, and says on the way whether the hub answers.
func (c Config) clock(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	asked := c.Clock()
	told, err := c.Hub.Now(ctx)
	if err != nil {
		return []Finding{
			problem("hub", fmt.Sprintf("the hub at %s does not answer: %v", c.HubAddr, plain(err)),
				"If the rest of the Internet works, check hub.addr in edge.yaml against your invitation, and let TCP to that port out. An edge with a directory a few hours old goes on without the hub."),
			note("clock", "cannot be compared while the hub does not answer", ""),
		}
	}
	trip := c.Clock().Sub(asked)
	off := asked.Add(trip / 2).Sub(told).Round(time.Second)
	hub := ok("hub", fmt.Sprintf("answers at %s in %s", c.HubAddr, rounded(trip)))
	how := "ahead of"
	if off < 0 {
		how = "behind"
	}
	words := fmt.Sprintf("%s %s the hub's", off.Abs(), how)
	const set = "Set the clock by NTP: on Linux \"timedatectl set-ntp true\", elsewhere \"set time automatically\" in the system's settings. In a virtual machine, set the host's."
	switch {
	case off.Abs() >= worstSkew:
		return []Finding{hub, problem("clock", words+": relays refuse an edge that is "+worstSkew.String()+" off", set)}
	case off.Abs() >= muchSkew:
		return []Finding{hub, note("clock", words, set)}
	}
	return []Finding{hub, ok("clock", "agrees with the hub's to a few seconds")}
}

// plain is an error without the code in front of it, which is for programs.
func plain(err error) string {
	if coded, ok := errors.AsType[*wire.Error](err); ok && coded.Detail != "" {
		return coded.Detail
	}
	return err.Error()
}
