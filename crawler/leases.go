package crawler

import "sync"

// leases is what is out at the moment: one lease a domain, and how many documents of each job may
// still come of them. A job's quota is kept by never leasing more pages than it may still deliver.
type leases struct {
	mu      sync.Mutex
	domains map[string]int
	pages   map[int64]int  // by job
	out     map[int64]bool // addresses
}

func (l *leases) take(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.domains[x.domain]++
	l.pages[x.job.id] += x.pages
	for _, it := range x.items {
		l.out[it.id] = true
		x.out = append(x.out, it.id)
	}
}

// giveBack frees the domain. All results of the lease have been settled before.
func (l *leases) giveBack(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.domains[x.domain]--; l.domains[x.domain] == 0 {
		delete(l.domains, x.domain)
	}
	if l.pages[x.job.id] -= x.pages; l.pages[x.job.id] == 0 {
		delete(l.pages, x.job.id)
	}
	for _, id := range x.out { // items has lost those that need not be fetched
		delete(l.out, id)
	}
}

// busy are the domains that have all the leases they may have.
func (l *leases) busy(most int) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := make(map[string]bool, len(l.domains))
	for domain, n := range l.domains {
		if n >= most {
			full[domain] = true
		}
	}
	return full
}

func (l *leases) inFlight(job int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pages[job]
}

// away is a bound on the addresses of a domain that are out.
func (l *leases) away(domain string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.domains[domain] * maxBatch
}

func (l *leases) isOut(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out[id]
}

func (l *leases) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.domains {
		n += of
	}
	return n
}

// takeDomain leases a domain for a look at what one of its sites says of itself, if nobody is there.
func (l *leases) takeDomain(domain string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.domains[domain] > 0 {
		return false
	}
	l.domains[domain] = 1
	return true
}

// freeDomain ends a lease of takeDomain.
func (l *leases) freeDomain(domain string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.domains[domain]--; l.domains[domain] == 0 {
		delete(l.domains, domain)
	}
}
