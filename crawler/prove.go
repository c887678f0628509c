package crawler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"sward/crawler/proof"
)

// prove finishes a document: its provenance says of what page it is and what is delivered of it, and the hub signs that.
// From then on the document is JSON, whose text everybody may write anew but nobody else.
func (c *Crawler) prove(d Document, a arrival) ([]byte, error) {
	p, ok := d.Metadata["provenance"].(Provenance)
	if !ok {
		return nil, fmt.Errorf("prove document: its provenance is a %T", d.Metadata["provenance"])
	}
	p.Network, p.RequestedURL, p.Status = c.cfg.Network, a.asked, a.Status
	p.FinalURL, _ = d.Metadata["url"].(string)
	if c.cfg.Where != nil {
		p.ExitCountry, p.ExitASN = c.cfg.Where(p.Exit)
	}
	p.Digests = map[string]string{}
	for name, text := range map[string]string{"markdown": d.Markdown, "html": d.HTML, "rawHtml": d.RawHTML, "screenshot": d.Screenshot} {
		if text != "" {
			sum := sha256.Sum256([]byte(text))
			p.Digests[name] = hex.EncodeToString(sum[:])
		}
	}
	if c.cfg.Seal != nil {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("prove document: %w", err)
		}
		body, err := proof.SealBody(text)
		if err != nil {
			return nil, fmt.Errorf("prove document: %w", err)
		}
		hub, sig := c.cfg.Seal(body)
		p.Seal = &proof.Seal{Hub: hub, Signature: sig}
	}
	d.Metadata["provenance"] = p
	return json.Marshal(d)
}
