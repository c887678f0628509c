package main

import (
	"strings"
	"testing"
)

func TestCanariesNameAddressAndDigest(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	known, err := canaries{"HTTP://Site.Example:80/a": digest}.digests()
	if err != nil || known["http://site.example/a"] != [32]byte([]byte(strings.Repeat("\xab", 32))) {
		t.Errorf("got %v, %v, want the digest under the address as crawled", known, err)
	}
	for _, bad := range []canaries{{"http://site.example/": "ab"}, {"http://site.example/": strings.Repeat("x", 64)}, {"no address": digest}} {
		if got, err := bad.digests(); err == nil {
			t.Errorf("%v: got %v, want an error", bad, got)
		}
	}
}
