package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sward/internal/wire"
)

// The vector of RFC 8785 §3.2.2 to §3.2.4, of which numbers beyond what a provenance has are left out.
func TestCanonicalFormIsThatOfRFC8785(t *testing.T) {
	in := `{
		"numbers": [1E3, 4.50, 2e-3, 0, -0, 1152921504606847],
		"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
		"literals": [null, true, false],
		"\u20ac": "Euro Sign", "\r": "Carriage Return", "1": "One", "\ud83d\ude00": "Emoji", "\u0080": "Control", "\ufb33": "Hebrew", "\u00f6": "o"
	}`
	want := `{"\r":"Carriage Return","1":"One","literals":[null,true,false],"numbers":[1000,4.5,0.002,0,0,1152921504606847],` +
		`"string":"€$\u000f\nA'B\"\\\\\"/","` + "\u0080" + `":"Control","ö":"o","€":"Euro Sign","😀":"Emoji","` + "\ufb33" + `":"Hebrew"}`
	got, err := canonical([]byte(in))
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	for _, bad := range []string{"", "{", "{} {}", strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if got, err := canonical([]byte(bad)); err == nil {
			t.Errorf("%.20q: got %s, want an error", bad, got)
		}
	}
}

var (
	edgeKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	hubKey  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

func sign(key ed25519.PrivateKey, network, typ string, body []byte) []byte {
	return ed25519.Sign(key, fmt.Appendf(nil, "%s/%s/%s", network, typ, body))
}

func verify(network, peer, typ string, body, sig []byte) bool {
	key, known := map[string]ed25519.PrivateKey{"edge": edgeKey, "hub": hubKey}[peer]
	return known && ed25519.Verify(key.Public().(ed25519.PublicKey), fmt.Appendf(nil, "%s/%s/%s", network, typ, body), sig)
}

type object = map[string]any

const head, body = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "<p>An honest page"

// document is a page as a hub delivers it, sealed after change has had its way.
func document(t *testing.T, change func(provenance object)) object {
	t.Helper()
	at := time.UnixMilli(1763786400123).UTC()
	attest := wire.Attest{
		URLHash: sha256.Sum256([]byte("https://site.test/a")), Status: 200, BodySHA256: sha256.Sum256([]byte(body)), BodyLen: uint64(len(body)),
		HeaderDigest: sha256.Sum256([]byte(head)), Time: at.UnixMilli(),
	}.Append(nil)
	sum := func(s string) string { x := sha256.Sum256([]byte(s)); return hex.EncodeToString(x[:]) }
	p := object{
		"network": "test", "edge": "edge", "exit": "edge", "execution": "edge", "requestedUrl": "https://site.test/a", "finalUrl": "https://site.test/b",
		"status": 200, "sha256": sum(body), "bytes": len(body), "headerSha256": sum(head), "fetchedAt": at.Format(time.RFC3339Nano),
		"attest": base64.StdEncoding.EncodeToString(attest), "signature": base64.StdEncoding.EncodeToString(sign(edgeKey, "test", TypeAttest, attest)),
		"warc": object{"file": "a.warc.gz", "offset": 7, "length": 9, "id": "urn:uuid:1"}, "digests": object{"markdown": sum("An honest page"), "rawHtml": sum(body)},
	}
	if change != nil {
		change(p)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := SealBody(text)
	if err != nil {
		t.Fatal(err)
	}
	p["seal"] = object{"hub": "hub", "signature": sign(hubKey, "test", TypeSeal, statement)}
	return object{
		"markdown": "An honest page", "rawHtml": body,
		"metadata": object{"sourceURL": "https://site.test/a", "url": "https://site.test/b", "statusCode": 200, "provenance": p},
	}
}

func check(t *testing.T, c Checker, d object) (wrong []string) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	c.Verify = verify
	steps, err := c.Check(text)
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range steps {
		if s.Failed() {
			wrong = append(wrong, s.Name)
		}
	}
	return wrong
}

func TestPageIsHeldToEverythingThatWasSigned(t *testing.T) {
	meta := func(d object) object { return d["metadata"].(object) }
	prov := func(d object) object { return meta(d)["provenance"].(object) }
	for name, test := range map[string]struct {
		forge func(provenance object) // before the seal: a hub that lies, or errs
		alter func(d object)          // after it
		with  Checker
		want  string
	}{
		"as delivered":             {},
		"written anew by somebody": {alter: func(d object) { prov(d)["duplicateOf"] = "https://site.test/c" }},
		"text altered":             {alter: func(d object) { d["markdown"] = "Buy now" }, want: "markdown"},
		"raw page altered":         {alter: func(d object) { d["rawHtml"] = body + "!" }, want: "rawHtml"},
		"a rendering put in":       {alter: func(d object) { d["html"] = "<p>Buy now" }, want: "html"},
		"text left out":            {alter: func(d object) { delete(d, "markdown") }},
		"text and digest altered": {alter: func(d object) {
			d["markdown"] = ""
			prov(d)["digests"].(object)["markdown"] = hex.EncodeToString(make([]byte, 32))
		}, want: "hub markdown"},
		"another exit":                    {alter: func(d object) { prov(d)["exit"] = "other" }, want: "hub"},
		"another address":                 {alter: func(d object) { meta(d)["sourceURL"] = "https://other.test/" }, want: "page"},
		"another address in both":         {alter: func(d object) { meta(d)["sourceURL"] = "https://o.test/"; prov(d)["requestedUrl"] = "https://o.test/" }, want: "hub attestation"},
		"another status":                  {alter: func(d object) { meta(d)["statusCode"] = 404 }, want: "page"},
		"the hub says another address":    {forge: func(p object) { p["requestedUrl"] = "https://site.test/b" }, want: "page attestation"},
		"the hub says another body":       {forge: func(p object) { p["sha256"] = hex.EncodeToString(make([]byte, 32)) }, want: "attestation"},
		"the hub says another header":     {forge: func(p object) { p["headerSha256"] = hex.EncodeToString(make([]byte, 32)) }, want: "attestation"},
		"the hub says another length":     {forge: func(p object) { p["bytes"] = 1 }, want: "attestation"},
		"the hub says another time":       {forge: func(p object) { p["fetchedAt"] = "2020-01-01T00:00:00Z" }, want: "attestation"},
		"the hub says another edge":       {forge: func(p object) { p["edge"] = "hub" }, want: "edge"},
		"the hub signs for the edge":      {forge: func(p object) { p["signature"] = base64.StdEncoding.EncodeToString(make([]byte, 64)) }, want: "edge"},
		"of another network":              {forge: func(p object) { p["network"] = "main" }, want: "hub edge"},
		"of another network than wanted":  {with: Checker{Network: "main"}, want: `the page is of network "test", not "main"`},
		"of another hub than wanted":      {with: Checker{Hub: "12D3"}, want: "hub"},
		"not sealed, and that was wanted": {with: Checker{Hub: "hub"}, alter: func(d object) { delete(prov(d), "seal") }, want: "hub"},
		"not sealed":                      {alter: func(d object) { delete(prov(d), "seal") }},
		"no edge":                         {forge: func(p object) { delete(p, "edge"); p["execution"] = "tunnel" }},
		"the archive has it":              {with: archive(head, body, nil)},
		"the archive has another body":    {with: archive(head, "x", nil), want: "body"},
		"the archive has another header":  {with: archive("x", body, nil), want: "body"},
		"the archive is broken":           {with: archive(head, body, errors.New("torn")), want: "body"},
		"no provenance":                   {alter: func(d object) { delete(meta(d), "provenance") }, want: "this page has no metadata.provenance: it is not of this network, or was stripped"},
	} {
		t.Run(name, func(t *testing.T) {
			d := document(t, test.forge)
			if test.alter != nil {
				test.alter(d)
			}
			if got := strings.Join(check(t, test.with, d), " "); got != test.want {
				t.Errorf("wrong: got %q, want %q", got, test.want)
			}
		})
	}
}

// A member that stands twice is read once this way and once that: what is checked has to be what is read.
func TestMembersThatStandTwiceAreNotProven(t *testing.T) {
	text, err := json.Marshal(document(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("<p>Buy now"))
	put := func(before, member string) string { return strings.Replace(string(text), before, member+","+before, 1) }
	for name, forged := range map[string]string{
		"text in other capitals":      strings.TrimSuffix(strings.Replace(string(text), `"markdown":`, `"Markdown":`, 1), "}") + `,"markdown":"Buy now"}`,
		"text before text":            put(`"markdown":"An`, `"markdown":"Buy now"`),
		"text in letters that fold":   put(`"markdown":"An`, `"mar\u212adown":"Buy now"`),
		"a digest for what was added": strings.Replace(put(`"digests":`, `"digests":{"html":"`+hex.EncodeToString(sum[:])+`"}`), "{", `{"html":"<p>Buy now",`, 1),
	} {
		steps, err := Checker{Verify: verify}.Check([]byte(forged))
		if err == nil {
			t.Errorf("%s: accepted with %+v", name, steps)
		}
	}
}

func archive(head, body string, err error) Checker {
	return Checker{Exchange: func(p Place) ([]byte, []byte, error) {
		if p.Offset != 7 || p.ID != "urn:uuid:1" {
			return nil, nil, fmt.Errorf("asked for %+v", p)
		}
		return []byte(head), []byte(body), err
	}}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"markdown":"","metadata":{"provenance":{"seal":{},"edge":"edge","attest":"AAAA","revalidated":{}}}}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		Checker{Verify: verify}.Check(text) //nolint:errcheck // it is to come back, whatever it is given
	})
}
