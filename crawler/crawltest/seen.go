package crawltest

import (
	"context"
	"maps"
)

// Suspect notes that an edge was accused.
func (n *Network) Suspect(_ context.Context, edge, reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.suspect[edge] = reason
}

// Suspected are the edges that were accused, with the reason.
func (n *Network) Suspected() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.suspect)
}

// Put notes that the index was given a page.
func (n *Network) Put(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stored[address]++
}

// Stored is how often the index was given each address.
func (n *Network) Stored() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.stored)
}

// Hits is how often the site was asked for each path and query.
func (n *Network) Hits() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.hits)
}

// Requests is how often the site was asked for anything.
func (n *Network) Requests() (sum int) {
	for _, hits := range n.Hits() {
		sum += hits
	}
	return sum
}

// Opens is how many crawl streams were opened.
func (n *Network) Opens() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opens
}

// Audits is how many tunnels were opened.
func (n *Network) Audits() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.audits
}
