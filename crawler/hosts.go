package crawler

import (
	"net"
	"time"

	"sward/crawler/link"
)

// domainOf is the unit of politeness of a host: what somebody bought, so that a hundred subdomains on one machine are not
// asked a hundred times as often as one. Suffixes under which strangers have their sites (github.io) are none.
func domainOf(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return link.Registrable(name)
}

// wakeHost makes sure that host is looked at when an address becomes due, and not before its pause and its domain's have
// passed.
func (t *tx) wakeHost(host string, at int64) error {
	domain := domainOf(host)
	if _, err := t.do(`INSERT INTO hosts (host, domain, wake_at) VALUES (?1, ?2, ?3) ON CONFLICT (host) DO UPDATE SET wake_at =
		CASE WHEN hosts.wake_at <= ?3 THEN hosts.wake_at WHEN hosts.ready_at > ?3 THEN hosts.ready_at ELSE ?3 END`, host, domain, at); err != nil {
		return err
	}
	_, err := t.do(`INSERT INTO domains (domain, wake_at) VALUES (?1, ?2) ON CONFLICT (domain) DO UPDATE SET wake_at =
		CASE WHEN domains.wake_at <= ?2 THEN domains.wake_at WHEN domains.ready_at > ?2 THEN domains.ready_at ELSE ?2 END`, domain, at)
	return err
}

// sleepHost is for a host that had nothing to lease: either nothing is due, or all documents that its
// jobs may still have are being fetched from other hosts. It looks once more, inside the transaction,
// so that an address just added counts.
func (t *tx) sleepHost(host string, now time.Time) error {
	queued, err := queues(host, t.list)
	if err != nil {
		return err
	}
	var wake any // NULL: when an address is added
	for _, q := range queued {
		var resume int64
		if err := t.query("SELECT resume_at FROM jobs WHERE id = ?", q.job).Scan(&resume); err != nil {
			return err
		}
		at := max(q.ready.UnixMilli(), resume, now.Add(limitedPause).UnixMilli())
		if earliest, set := wake.(int64); !set || at < earliest {
			wake = at
		}
	}
	_, err = t.do("UPDATE hosts SET wake_at = ? WHERE host = ?", wake, host)
	return err
}

// rest records what a lease taught about its host, and when the host and its domain may be asked again. Whether an address
// is due by then is seen when the host is looked at.
func (t *tx) rest(l *lease, host, domain time.Time) error {
	_, err := t.do(`UPDATE hosts SET ready_at = ?2, delay = ?3, pace = ?4, strain = ?5, failures = ?6, last_job = ?7,
		wake_at = CASE WHEN EXISTS (SELECT 1 FROM urls WHERE host = ?1 AND state = 0) THEN CAST(?2 AS BIGINT) END WHERE host = ?1`,
		l.host, host.UnixMilli(), l.crawlDelay.Milliseconds(), l.pace.Milliseconds(), l.strain, l.failures, l.job.id)
	if err != nil {
		return err
	}
	_, err = t.do(`UPDATE domains SET ready_at = ?1, wake_at = (
		SELECT CASE WHEN min(h.wake_at) < ?1 THEN ?1 ELSE min(h.wake_at) END
		FROM hosts h WHERE h.domain = ?2 AND h.wake_at IS NOT NULL) WHERE domain = ?2`, domain.UnixMilli(), l.domain)
	return err
}

// wakeDomain has a domain looked at with the first of its hosts, but not before its pause has passed.
func (t *tx) wakeDomain(domain string) error {
	_, err := t.do(`UPDATE domains SET wake_at = (
		SELECT CASE WHEN min(h.wake_at) < domains.ready_at THEN domains.ready_at ELSE min(h.wake_at) END
		FROM hosts h WHERE h.domain = domains.domain AND h.wake_at IS NOT NULL) WHERE domain = ?`, domain)
	return err
}
