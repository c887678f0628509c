package relay

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateLook is how often, at most, the files of a certificate are looked at: a renewed one is shown within a
// second, and a flood of handshakes costs no more looks.
const certificateLook = time.Second

// Certificate is a pair of PEM files, as certbot and its like write them: the chain and its key. When they change, new
// handshakes show the new ones; a pair that does not load leaves the old one in its place.
type Certificate struct {
	chain, key string
	log        *slog.Logger
	now        func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	looked time.Time
	tried  [2]stamp // of the files when they were last loaded, or failed to
}

// stamp tells one version of a file from another.
type stamp struct {
	size     int64
	modified time.Time
}

// OpenCertificate loads a pair. The error names the file and what is wrong with it.
func OpenCertificate(chain, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{chain: chain, key: key, log: log, now: time.Now}
	var err error
	if c.tried, err = c.stamps(); err != nil {
		return nil, err
	}
	c.looked = c.now()
	if c.pair, err = c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= certificateLook {
		c.looked = now
		c.refreshLocked()
	}
	return c.pair, nil
}

// refreshLocked loads files that are others than those last tried: so a broken pair is told once, and a pair of which
// one half has been written is tried again with the other.
func (c *Certificate) refreshLocked() {
	stamps, err := c.stamps()
	if err == nil && stamps == c.tried {
		return
	}
	if err != nil {
		if stamps != c.tried {
			c.log.Warn("the door's certificate cannot be read, the old one stays", "err", err)
		}
		c.tried = stamps
		return
	}
	c.tried = stamps
	pair, err := c.load()
	if err != nil {
		c.log.Warn("the door's new certificate does not load, the old one stays", "err", err)
		return
	}
	c.pair = pair
	c.log.Info("the door shows a new certificate", "until", pair.Leaf.NotAfter)
}

func (c *Certificate) load() (*tls.Certificate, error) {
	chain, err := os.ReadFile(c.chain)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate's key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.chain, c.key, err)
	}
	if now := c.now(); now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("certificate %s: expired on %s", c.chain, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &pair, nil
}

// stamps are the versions of both files; of one that cannot be read it is the zero value.
func (c *Certificate) stamps() (stamps [2]stamp, failed error) {
	for i, name := range []string{c.chain, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			failed = fmt.Errorf("certificate: %w", err)
			continue
		}
		stamps[i] = stamp{info.Size(), info.ModTime()}
	}
	return stamps, failed
}
