package crawler

import (
	"time"

	"sward/crawler/fetch"
	"sward/crawler/link"
	"sward/internal/wire"
)

// signed is a batch with a signature for the host of its URLs, by which sites know that the requests are ours. The edge adds it
// to requests of that authority alone. Without a public address there is nowhere for a site to find our keys, and nothing is signed.
func (c *Crawler) signed(o fetch.Batch) fetch.Batch {
	if c.cfg.Sign == nil || len(o.URLs) == 0 {
		return o
	}
	host, err := link.HostOf(o.URLs[0])
	if err != nil {
		return o
	}
	agent, input, signature, err := c.cfg.Sign(host, o.Deadline+time.Minute) // the edge's road and clock
	if err != nil {
		c.cfg.Log.Warn("a crawl batch goes out unsigned", "error", err)
		return o
	}
	for name, value := range map[wire.FieldName]string{
		wire.FieldSignatureAgent: agent, wire.FieldSignatureInput: input, wire.FieldSignature: signature,
	} {
		o.Fields = append(o.Fields, wire.Field{Index: wire.AllURLs, Name: name, Value: value})
	}
	return o
}
