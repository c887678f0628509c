// Package extension_test holds the browser extension to the network's own code: what both must agree on to the byte is
// written by Go into testdata/vectors.json, and read by the extension's tests.
package extension_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"sward/accounting"
	"sward/crawler/fetch"
	"sward/internal/identity"
	"sward/policy"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const (
	vectorsFile = "testdata/vectors.json"
	frameFile   = "../internal/wire/testdata/vectors.txt"
	network     = "test"
	moment      = 1_760_000_000_000 // Unix milliseconds
)

// key is an identity that every run makes alike.
type key struct {
	identity.Key
	seed []byte
}

func newKey(t *testing.T, fill byte) key {
	t.Helper()
	seed := bytes.Repeat([]byte{fill}, 32)
	k, err := identity.NewKeyFrom(bytes.NewReader(seed))
	if err != nil {
		t.Fatal(err)
	}
	return key{k, seed}
}

func fill16(x byte) [16]byte { return [16]byte(bytes.Repeat([]byte{x}, 16)) }
func fill32(x byte) [32]byte { return [32]byte(bytes.Repeat([]byte{x}, 32)) }

type object = map[string]any

// vectors is everything that both sides must agree on.
func vectors(t *testing.T) object {
	hub, relay, node := newKey(t, 1), newKey(t, 2), newKey(t, 3)
	relayKey, nodeKey := newKey(t, 4), newKey(t, 5)
	grant := accounting.SignGrant(network, hub.Key, accounting.Grant{
		ID: fill16(6), Issuer: hub.ID(), Account: fill16(7), Relay: relay.ID(), Purpose: 3, Price: 1, Limit: 1 << 20,
		Issued: moment, NotAfter: moment + 3_600_000, MaxChannels: 4, Policy: fill32(8),
	})
	relayID, nodeID := relay.ID(), node.ID()
	nonce, edgeNonce := fill32(9), fill16(10)
	session := sha256.Sum256(slices.Concat(nonce[:], relayID[:], nodeID[:]))
	exporter := sha256.Sum256(slices.Concat(session[:], []byte(accounting.ExporterLabel), edgeNonce[:]))
	channel := accounting.Channel{
		Issuer: hub.ID(), Relay: relayID, Edge: nodeID, RelayKey: relayKey.ID(), EdgeKey: nodeKey.ID(), Exporter: exporter,
		EdgeNonce: edgeNonce, RelayNonce: fill16(11), Policy: fill32(12), Consent: fill32(13), Class: 2,
		Step: 64 << 10, Window: 512 << 10, Opened: moment, Expires: moment + 3_600_000,
	}
	receipt := accounting.Receipt{
		Channel: channel.ID(network), Serial: 1, Time: moment + 1,
		Tallies: []accounting.Tally{{Grant: grant.ID, Up: 100, Down: 2000, Streams: 1}},
	}
	if !receipt.Sum() {
		t.Fatal("the receipt does not add up")
	}
	return object{
		"network": network, "moment": moment,
		"frames": frames(t),
		"keys": object{
			"hub": hub.json(), "relay": relay.json(), "node": node.json(), "relayKey": relayKey.json(), "nodeKey": nodeKey.json(),
		},
		"proof": object{
			"nonce": hexOf(nonce[:]), "sig": hexOf(node.Sign(network, "node", slices.Concat(relayID[:], nonce[:]))),
		},
		"grant": object{"signed": hexOf(grant.Bytes()), "id": hexOf(grant.ID[:]), "limit": grant.Limit},
		"channel": object{
			"body": hexOf(channel.Append(nil)), "id": receipt.Channel.String(), "exporter": hexOf(exporter[:]),
			"relaySig": hexOf(channel.Sign(network, relay.Key)), "nodeSig": hexOf(channel.Sign(network, node.Key)),
		},
		"receipt": object{
			"body": hexOf(receipt.Append(nil)), "relaySig": hexOf(receipt.Sign(network, relayKey.Key)), "nodeSig": hexOf(receipt.Sign(network, nodeKey.Key)),
		},
		"robots": robots(), "caps": caps(),
	}
}

func (k key) json() object {
	id := k.ID()
	return object{"seed": hexOf(k.seed), "id": hexOf(id[:]), "peer": id.String()}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// frames are the vectors of internal/wire, but for the frame that a node never sees.
func frames(t *testing.T) object {
	f, err := os.Open(frameFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := object{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, body, _ := strings.Cut(s.Text(), " ")
		all[name] = body
	}
	delete(all, "route")       // the hub says it, never to a node
	delete(all, "observed")    // said to agents: a browser dials names, and only those that the relay has screened
	delete(all, "fields")      // skipped as unknown: a browser fetches without them
	delete(all, "place")       // said by relays to the hub
	delete(all, "reach")       // said by agents to relays
	delete(all, "dial-back")   // likewise
	delete(all, "dialed-back") // the answer
	delete(all, "demand")      // said by relays to agents
	return all
}

// robots are files, paths and verdicts.
func robots() []object {
	var all []object
	add := func(file string, paths ...string) {
		r := fetch.Parse([]byte(file))
		for _, agent := range []string{"swardbot/1.0 (+https://sward.example)", "other"} {
			for _, path := range paths {
				v := r.Test(agent, path)
				all = append(all, object{
					"file": file, "agent": agent, "path": path, "allowed": v.Allowed, "rule": v.Rule, "delay": r.Delay(agent).Seconds(),
				})
			}
		}
	}
	add("", "/", "/robots.txt")
	add("User-agent: *\nDisallow: /\n", "/", "/a", "/robots.txt")
	add("user-agent: swardbot\nDisallow: /private\nAllow: /private/open$\nCrawl-delay: 2.5\n\nUser-agent: *\nDisallow:\n",
		"/private", "/private/open", "/private/open?x", "/public")
	add("User-agent: a\nUser-agent: SwardBot/2\nDisallow: /x*y$\n# comment\nUser-agent: *\nDisallow: /*.gif$\nAllow: /*.gif\n",
		"/xay", "/xayz", "/xy", "/b.gif", "/b.gif?c")
	add("Disallow: /early\nUser-agent: *\nDisallow: /fish\nAllow: /fish/", "/early", "/fish", "/fishing", "/fish/salmon", "/Fish")
	add("User-agent: *\nDisallow: /ä\nDisallow: /b%2Fc\nDisallow: /%7Ed\nDisallow: /q?u=%2Fv\nDisallow: /star%2A\n",
		"/%C3%A4", "/ä", "/b/c", "/b%2fc", "/~d", "/q?u=/v", "/star*", "/starfish")
	add("\xef\xbb\xbfUser-agent : *\r\nDisalow: /typo\rdisallow /words\r\nCrawl-delay: nonsense\r\n", "/typo", "/words", "/else")
	add("User-agent: swardbot\nDisallow: /one\nUser-agent: x\nDisallow: /\nUser-agent: swardbot\nDisallow: /two\n", "/one", "/two", "/three")
	add("User-agent: *\nCrawl-delay: 1\nUser-agent: swardbot\nDisallow: /a\nCrawl-delay: 3\n", "/a", "/b")
	add("User-agent: *\nDisallow: /a*b*c*d*e*f\n"+strings.Repeat("# filler\n", 50), "/aXbXcXdXeXf", "/abcdef", "/abcde")
	add("User-agent: *\nAllow: /"+strings.Repeat("ü", 150)+"\nDisallow: /", "/"+strings.Repeat("ü", 150))
	return all
}

// caps are leases, one after another as an owner's days go by.
func caps() []object {
	var all []object
	add := func(c policy.Caps, v policy.Volume, now string, want int64) {
		at, err := time.Parse("2006-01-02 15:04", now)
		if err != nil {
			panic(err) // a slip in this table
		}
		p := c.Period(at)
		next, got, refusal := c.Lease(v, p, policy.Down, want)
		rule := ""
		if denied := (*policy.Denied)(nil); errors.As(refusal, &denied) {
			rule = denied.Rule
		}
		back := next
		back.Lease -= got / 2
		left := c.Left(v, p, policy.Down)
		all = append(all, object{
			"caps": object{"day": c.Day, "month": c.Month}, "volume": volume(v), "day": p.Day, "month": p.MonthName(),
			"want": want, "got": got, "refusal": rule, "next": volume(next), "back": volume(back), "room": min(left, 1<<53-1),
		})
	}
	used := policy.Volume{Days: []policy.Day{{Date: "2026-11-19", Up: 800, Down: 10}, {Date: "2026-11-20", Down: 90}}}
	add(policy.Caps{Day: 100, Month: 1000}, policy.Volume{}, "2026-11-20 10:00", 60)
	add(policy.Caps{Day: 100, Month: 1000}, used, "2026-11-20 10:00", 60)
	add(policy.Caps{Day: 90, Month: 1000}, used, "2026-11-20 23:59", 1)
	add(policy.Caps{Day: 90, Month: 1000}, used, "2026-11-21 00:00", 1)
	add(policy.Caps{Day: 500, Month: 900}, used, "2026-11-21 00:00", 1)
	add(policy.Caps{Day: 500, Month: 900}, used, "2026-12-01 00:00", 600)
	add(policy.Caps{Day: 100, Month: 1000}, used, "2026-10-01 00:00", 60) // a clock that stepped back
	add(policy.Caps{Day: 100}, used, "2026-11-20 00:00", 0)
	add(policy.Caps{}, used, "2026-11-20 00:00", 1<<40)
	add(policy.Caps{Month: 905}, used, "2026-11-20 00:00", 60)
	return all
}

// volume is v as a browser counts: the last day and its month, both ways and the lease together.
func volume(v policy.Volume) object {
	if len(v.Days) == 0 {
		return object{"day": "", "month": "", "dayUsed": 0, "monthUsed": 0}
	}
	day := v.Days[len(v.Days)-1].Date
	month := day[:len("2006-01")]
	return object{"day": day, "month": month, "dayUsed": v.Since(day).Total(), "monthUsed": v.Since(month + "-01").Total()}
}

func TestExtensionsVectorsAreThoseOfTheNetwork(t *testing.T) {
	want, err := json.MarshalIndent(vectors(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(vectorsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date, write it with -update (-network +file):\n%s", vectorsFile, diff)
	}
}

func node(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the extension's own tests cannot run here")
	}
	return exec.CommandContext(t.Context(), path, args...).CombinedOutput()
}

func TestExtensionAgreesWithTheNetwork(t *testing.T) {
	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the extension: %v", err)
	}
	if out, err := node(t, append([]string{"--test"}, files...)...); err != nil {
		t.Errorf("the extension's tests: %v\n%s", err, out)
	}
}

// The crawler reads a page's body with a zstd decoder that knows nothing of where it came from.
func TestExtensionsBodiesAreZstd(t *testing.T) {
	const script = `import { pieces } from './zstd.js';
const body = new Uint8Array(Number(process.argv[1]));
for (let i = 0; i < body.length; i++) body[i] = i * 31 >> 3;
for (const p of pieces(body)) {
	if (p.length > 32768) throw new Error('a piece has ' + p.length + ' bytes');
	process.stdout.write(p);
}`
	for _, size := range []int{0, 1, 255, 32755, 32756, 32757, 100_000, 4 << 20} {
		out, err := node(t, "--input-type=module", "-e", script, "--", strconv.Itoa(size))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		d, err := zstd.NewReader(bytes.NewReader(out), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d)
		d.Close()
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 31 >> 3)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("body of %d bytes: got %d bytes, %v", size, len(got), err)
		}
	}
}

// M01, M02: nothing may be asked of the owner at install, and nobody but the extension's own pages may talk to it.
func TestManifestAsksForNothingUntilTheOwnerLends(t *testing.T) {
	b, err := os.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Version      int      `json:"manifest_version"`
		Permissions  []string `json:"permissions"`
		Hosts        []string `json:"host_permissions"`
		OptionalHost []string `json:"optional_host_permissions"`
		Scripts      []any    `json:"content_scripts"`
		Connectable  struct {
			IDs     []string `json:"ids"`
			Matches []string `json:"matches"`
		} `json:"externally_connectable"`
		CSP map[string]string `json:"content_security_policy"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Version != 3 || len(m.Hosts)+len(m.Scripts) > 0 {
		t.Errorf("got version %d, hosts %v, content scripts %v, want 3 and none", m.Version, m.Hosts, m.Scripts)
	}
	if want := []string{"storage", "alarms", "declarativeNetRequestWithHostAccess"}; !slices.Equal(m.Permissions, want) {
		t.Errorf("permissions: got %v, want %v", m.Permissions, want)
	}
	if want := []string{"https://*/*"}; !slices.Equal(m.OptionalHost, want) {
		t.Errorf("optional hosts: got %v, want %v", m.OptionalHost, want)
	}
	if m.Connectable.IDs == nil || len(m.Connectable.IDs)+len(m.Connectable.Matches) > 0 {
		t.Errorf("others may connect: %+v", m.Connectable)
	}
	if csp := m.CSP["extension_pages"]; strings.Contains(csp, "unsafe") || !strings.Contains(csp, "script-src 'self';") {
		t.Errorf("content security policy: got %q", csp)
	}
}

// The hash of the text is what the hub must know: it may not depend on how the file was checked out.
func TestConsentTextIsPlain(t *testing.T) {
	b, err := os.ReadFile("consent.txt")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(b, "\r\t") || !bytes.HasSuffix(b, []byte("\n")) {
		t.Error("the text has tabs, carriage returns or no end")
	}
}
