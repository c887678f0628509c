package botauth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// DirectoryPath is where the directory is found on the public address.
const DirectoryPath = "/.well-known/http-message-signatures-directory"

const directoryType = "application/http-message-signatures-directory+json"

// ServeHTTP answers with the directory, signed by each of its keys for the authority that was asked. Only our own authority is
// signed: under another name somebody could serve our keys, with our word for it, as his.
func (r *Ring) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	keys, err := r.published()
	if err != nil {
		http.Error(w, "the keys cannot be read", http.StatusInternalServerError)
		return
	}
	body := directory(keys)
	sum := sha256.Sum256(body)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	h := w.Header()
	h.Set("Content-Type", directoryType)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(cacheLife.Seconds())))
	h.Set("Access-Control-Allow-Origin", "*") // verifiers may be pages
	h.Set("Content-Digest", digest)
	if at, err := url.Parse(r.public); err == nil && strings.EqualFold(at.Host, request.Host) {
		input, signature := r.prove(keys, strings.ToLower(at.Host), digest)
		h.Set("Signature-Input", input)
		h.Set("Signature", signature)
	}
	w.Write(body) //nolint:errcheck // the client has gone
}

// prove signs the directory with each key that is in it.
func (r *Ring) prove(keys []key, authority, digest string) (input, signature string) {
	now := r.now()
	covered := []component{{`"@authority";req`, authority}, {`"content-digest"`, digest}}
	var inputs, signatures []string
	for i, k := range keys {
		name := fmt.Sprintf("binding%d", i)
		params := parameters(covered, now.Add(-clockSkew), now.Add(7*cacheLife), k.id(), directoryTag)
		inputs = append(inputs, name+"="+params)
		signatures = append(signatures, name+"=:"+k.sign(covered, params)+":")
	}
	return strings.Join(inputs, ", "), strings.Join(signatures, ", ")
}
