package botauth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// testKey is test-key-ed25519 of RFC 9421, appendix B.1.4.
func testKey(t *testing.T) key {
	t.Helper()
	seed, err := base64.RawURLEncoding.DecodeString("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
	if err != nil {
		t.Fatal(err)
	}
	k := key{Seed: seed}
	if k.x() != "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs" {
		t.Fatalf("the test key's public half is %s", k.x())
	}
	return k
}

// Ed25519 has one signature for a text: to make the published one is to have built the published text.
func TestSignaturesAreThoseOfTheSpecifications(t *testing.T) {
	for _, v := range []struct {
		name, params, want string
		covered            []component
	}{
		{"RFC 9421 B.2.6", `("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
			[]component{{`"date"`, "Tue, 20 Apr 2021 02:07:55 GMT"}, {`"@method"`, "POST"}, {`"@path"`, "/foo"}, {`"@authority"`, "example.com"},
				{`"content-type"`, "application/json"}, {`"content-length"`, "18"}}},
		{"draft-ietf-webbotauth-httpsig-protocol, request", `("@authority" "signature-agent";key="agent2");created=1735689600;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"` +
			`;alg="ed25519";expires=4889289600;nonce="n9p433xm+NJ3ph3upfBIGmsuwHw387YV7Q/F+6BSpGCVjYCqQw6rznNA8PVVLySrAWsv0hQtFioQb6E1YsauiA==";tag="web-bot-auth"`,
			"RdNFx5Bj6au3YgAMQL/RzmUlZE8QZLIaXGRpw985hWnwPfMxT228NMk6ehRS1PSl4e8PhbNZACSanGdhEwYCCg==",
			[]component{{`"@authority"`, "example.com"}, {`"signature-agent";key="agent2"`, `"https://signature-agent.test"`}}},
	} {
		if got := testKey(t).sign(v.covered, v.params); got != v.want {
			t.Errorf("%s: got %s, want %s", v.name, got, v.want)
		}
	}
	if got, want := testKey(t).id(), "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"; got != want {
		t.Errorf("thumbprint: got %s, want %s", got, want)
	}
	covered := []component{{`"@authority";req`, "signature-agent.test"}, {`"content-digest"`, "sha-256=:CADMT2aBdV/rqQr/NIru64ERQkCobVvllA4V0fLFDu0=:"}}
	params := parameters(covered, time.Unix(1735689600, 0), time.Unix(4889289600, 0), testKey(t).id(), directoryTag)
	if got, want := testKey(t).sign(covered, params), "l6P8R67tm3kujAxbHWio7ll01qrEZ0dKD/WWlGhNYEmTnFZM8Wt0VQ9zqGfvo7T/UMkBxsigzChM1Gpz7gOVBg=="; got != want {
		t.Errorf("directory of the draft: got %s, want %s, over %s", got, want, params)
	}
}

const public = "https://hub.example"

func openRing(t *testing.T, file string, now *time.Time) *Ring {
	t.Helper()
	r, err := Open(file, public, func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRequestIsSignedForItsAuthority(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := openRing(t, filepath.Join(t.TempDir(), "keys"), &now)
	f, err := r.Sign("Site.example:8443", 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	id := r.keys[0].id()
	if want := `sig1="https://hub.example"`; f.Agent != want {
		t.Errorf("Signature-Agent: got %s, want %s", f.Agent, want)
	}
	if want := `sig1=("@authority" "signature-agent";key="sig1");created=1799999990;expires=1800000300;keyid="` + id + `";tag="web-bot-auth"`; f.Input != want {
		t.Errorf("Signature-Input: got %s, want %s", f.Input, want)
	}
	text := "\"@authority\": site.example:8443\n\"signature-agent\";key=\"sig1\": \"https://hub.example\"\n\"@signature-params\": " + strings.TrimPrefix(f.Input, "sig1=")
	check(t, r, strings.TrimPrefix(f.Signature, "sig1="), text, 0)
	if f, _ = r.Sign("site.example", 24*time.Hour); !strings.Contains(f.Input, "expires=1800001200") {
		t.Errorf("a signature for a day is %s, want %s of life", f.Input, MaxLife)
	}
}

// check verifies a Byte Sequence over a text with a key of the ring.
func check(t *testing.T, r *Ring, sequence, text string, at int) {
	t.Helper()
	sig, err := base64.StdEncoding.DecodeString(strings.Trim(sequence, ":"))
	if err != nil || !ed25519.Verify(r.keys[at].private().Public().(ed25519.PublicKey), []byte(text), sig) {
		t.Errorf("%s is no signature of key %d over\n%s", sequence, at, text)
	}
}

func TestDirectoryIsSignedByItsKeysForItsAuthority(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := openRing(t, filepath.Join(t.TempDir(), "keys"), &now)
	now = now.Add(keyLife - keyAhead) // two keys are out
	w := httptest.NewRecorder()
	request := httptest.NewRequest("GET", public+DirectoryPath, nil)
	r.ServeHTTP(w, request)
	if got := w.Header().Get("Content-Type"); w.Code != 200 || got != directoryType {
		t.Fatalf("got %d, %s", w.Code, got)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("got %s, %v, want two keys", w.Body, err)
	}
	if bytes.Contains(w.Body.Bytes(), []byte(`"d"`)) {
		t.Error("the directory holds a private key")
	}
	inputs := regexp.MustCompile(`binding(\d)=(\([^)]*\)[^,]*)`).FindAllStringSubmatch(w.Header().Get("Signature-Input"), -1)
	signatures := strings.Split(w.Header().Get("Signature"), ", ")
	if len(inputs) != 2 || len(signatures) != 2 {
		t.Fatalf("got %q and %q, want two signatures", inputs, signatures)
	}
	for i, in := range inputs {
		text := "\"@authority\";req: hub.example\n\"content-digest\": " + w.Header().Get("Content-Digest") + "\n\"@signature-params\": " + in[2]
		_, sequence, _ := strings.Cut(signatures[i], "=")
		check(t, r, sequence, text, i)
		if kid, _ := set.Keys[i]["kid"].(string); !strings.Contains(in[2], `keyid="`+kid+`"`) || kid != r.keys[i].id() {
			t.Errorf("signature %d is of another key than %s: %s", i, kid, in[2])
		}
	}

	request.Host = "mirror.example"
	w = httptest.NewRecorder()
	r.ServeHTTP(w, request)
	if w.Header().Get("Signature") != "" || w.Code != 200 {
		t.Errorf("under another name: %d with signature %q, want none", w.Code, w.Header().Get("Signature"))
	}
}

func TestKeysRotate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	file := filepath.Join(t.TempDir(), "keys")
	r := openRing(t, file, &now)
	published := map[string]time.Time{} // since when
	signers := map[string]bool{}
	for range 400 {
		now = now.Add(12 * time.Hour)
		if now.Hour() < 12 {
			r = openRing(t, file, &now) // it survives the hub
		}
		keys, err := r.published()
		if err != nil || len(keys) == 0 || len(keys) > 2 {
			t.Fatalf("%s: got %d keys, %v", now, len(keys), err)
		}
		listed := map[string]bool{}
		for _, k := range keys {
			listed[k.id()] = true
			if _, known := published[k.id()]; !known {
				published[k.id()] = now
			}
		}
		k, err := r.active()
		if err != nil || !listed[k.id()] || !k.Expires.After(now.Add(keyOverlap/4)) {
			t.Fatalf("%s: %s signs, until %s, %v", now, k.id(), k.Expires, err)
		}
		if !signers[k.id()] && len(signers) > 0 && now.Sub(published[k.id()]) < cacheLife {
			t.Errorf("%s signs %s after it was published: sites keep the directory for %s", k.id(), now.Sub(published[k.id()]), cacheLife)
		}
		signers[k.id()] = true
	}
	if len(signers) < 3 {
		t.Errorf("in 200 days %d keys signed, want a new one every two months", len(signers))
	}
	now = now.Add(5 * keyLife) // the hub was away
	if k, err := r.active(); err != nil || k.Begins.After(now) || !k.Expires.After(now) {
		t.Errorf("after a year: got %+v, %v", k, err)
	}
}

func TestKeysAreSecret(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	file := filepath.Join(t.TempDir(), "keys")
	openRing(t, file, &now)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file of keys: %v, %v, want it to be ours alone", info.Mode(), err)
	}
}

func TestPublicIsAnOrigin(t *testing.T) {
	for _, bad := range []string{"", "hub.example", "http://hub.example", "https://hub.example/", "https://hub.example/x", "https://u@hub.example", "https://hub.example?x"} {
		if err := CheckPublic(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := CheckPublic("https://hub.example:8443"); err != nil {
		t.Error(err)
	}
}
