// Package botauth signs what the crawler asks for, so that a site can tell our requests from those of somebody who writes our
// name under his own (draft-ietf-webbotauth-httpsig-protocol over RFC 9421).
//
// A request leaves through somebody's home and cannot be known by its address. It is known by its signature: the hub signs
// once for each batch and authority, the three header fields travel to the edge, and the edge adds them to requests of that
// authority alone. Whoever is asked finds the keys at the hub's public address, in a directory that they sign themselves.
// A signature that covers an authority can be used again at that authority by whoever sees it, the edge included; so it
// lives minutes, and what it buys is nothing but a site's knowledge that the hub sent somebody.
package botauth

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	// MaxLife is the longest life of a signature: a batch's and a little more. The draft recommends a day at most.
	MaxLife = 20 * time.Minute

	label        = "sig1"
	requestTag   = "web-bot-auth"
	directoryTag = "http-message-signatures-directory"
	clockSkew    = 10 * time.Second // a signature is dated back by this much: one from the future is refused
)

// Fields are the three header fields of a signed request.
type Fields struct{ Agent, Input, Signature string }

// Sign makes the fields for requests to an authority (host, with its port where that is not the scheme's own).
func (r *Ring) Sign(authority string, life time.Duration) (Fields, error) {
	k, err := r.active()
	if err != nil {
		return Fields{}, err
	}
	now := r.now()
	covered := []component{
		{`"@authority"`, strings.ToLower(authority)},
		{`"signature-agent";key="` + label + `"`, quoted(r.public)},
	}
	params := parameters(covered, now.Add(-clockSkew), now.Add(min(life, MaxLife)), k.id(), requestTag)
	return Fields{
		Agent:     label + "=" + quoted(r.public),
		Input:     label + "=" + params,
		Signature: label + "=:" + k.sign(covered, params) + ":",
	}, nil
}

// component is a covered component: its identifier as it stands in the list, and its value.
type component struct{ id, value string }

// parameters are the covered components and what is said of the signature (RFC 9421 §2.3).
func parameters(covered []component, created, expires time.Time, keyID, tag string) string {
	ids := make([]string, len(covered))
	for i, c := range covered {
		ids[i] = c.id
	}
	return fmt.Sprintf(`(%s);created=%d;expires=%d;keyid=%s;tag=%s`,
		strings.Join(ids, " "), created.Unix(), expires.Unix(), quoted(keyID), quoted(tag))
}

// base is what is signed (RFC 9421 §2.5).
func base(covered []component, params string) []byte {
	var b strings.Builder
	for _, c := range covered {
		b.WriteString(c.id + ": " + c.value + "\n")
	}
	b.WriteString(`"@signature-params": ` + params)
	return []byte(b.String())
}

// quoted is a String of RFC 9651. What is quoted here holds neither a quote nor a backslash.
func quoted(s string) string { return `"` + s + `"` }

// sign returns the signature in base64, as a Byte Sequence has it between its colons.
func (k key) sign(covered []component, params string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(k.private(), base(covered, params)))
}

// id is the JWK thumbprint of the public key (RFC 7638, RFC 8037 appendix A.3).
func (k key) id() string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, k.x()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (k key) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.Seed) }

func (k key) x() string {
	return base64.RawURLEncoding.EncodeToString(k.private().Public().(ed25519.PublicKey))
}

// jwk is a public key in the directory (RFC 7517, RFC 8037).
type jwk struct {
	Type    string `json:"kty"`
	Curve   string `json:"crv"`
	ID      string `json:"kid"`
	X       string `json:"x"`
	Use     string `json:"use"`
	Begins  int64  `json:"nbf"`
	Expires int64  `json:"exp"`
}

// directory is the JSON Web Key Set of keys.
func directory(keys []key) []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", k.id(), k.x(), "sig", k.Begins.Unix(), k.Expires.Unix()})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err) // numbers and strings
	}
	return b
}
