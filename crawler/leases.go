package crawler

import (
	"maps"
	"sync"
)

// leases is what is out at the moment: one lease a host, and how many documents of each job may
// still come of them. A job's quota is kept by never leasing more pages than it may still deliver.
type leases struct {
	mu    sync.Mutex
	hosts map[string]bool
	pages map[int64]int // by job
}

func (l *leases) take(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts[x.host] = true
	l.pages[x.job.id] += x.pages
}

// giveBack frees the host. All results of the lease have been settled before.
func (l *leases) giveBack(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.hosts, x.host)
	if l.pages[x.job.id] -= x.pages; l.pages[x.job.id] == 0 {
		delete(l.pages, x.job.id)
	}
}

// busy is a copy of the hosts that are out.
func (l *leases) busy() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.hosts)
}

func (l *leases) inFlight(job int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pages[job]
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.hosts)
}
