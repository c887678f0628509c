// Package proof is what holds a delivered page to its word, for those who make it and for those who check it later with
// nothing but the page.
//
// A page comes with a provenance: how it was fetched, by whom, and the digests of what was received and of what is
// delivered. Two signatures stand under it. The edge's is over its attestation (package wire): this address had this
// answer. The hub's is a seal over the whole provenance (seal.go): the rest of it, and whatever was fetched without an
// edge to attest it, is the hub's word. Check (check.go) needs the page alone, or the page and the archive file that has
// the exchange.
package proof
