package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write testdata/vectors.txt anew: a change of the protocol")

// The vectors are one line a message, name and body in hex, for other
// implementations to test against.
const vectorsFile = "testdata/vectors.txt"

func TestBodiesMatchThePublishedVectors(t *testing.T) {
	if *update {
		var b strings.Builder
		for _, e := range examples {
			fmt.Fprintf(&b, "%s %x\n", e.name, e.message.Append(nil))
		}
		if err := os.WriteFile(vectorsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	vectors := readVectors(t)
	if len(vectors) != len(examples) {
		t.Errorf("got %d vectors, want one for each of %d messages", len(vectors), len(examples))
	}
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			if diff := cmp.Diff(vectors[e.name], hex.EncodeToString(e.message.Append(nil))); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func readVectors(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors := make(map[string]string)
	for s := bufio.NewScanner(f); s.Scan(); {
		name, body, _ := strings.Cut(s.Text(), " ")
		vectors[name] = body
	}
	return vectors
}

func TestMessageReadsBackAsWritten(t *testing.T) {
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			got, err := e.parse(e.message.Append(nil))
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if diff := cmp.Diff(e.message, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestZeroMessageReadsBackAsWritten(t *testing.T) {
	for _, m := range []struct {
		message codec
		parse   func([]byte) (codec, error)
	}{
		{Hello{}, as(ParseHello)}, {Welcome{}, as(ParseWelcome)}, {Status{}, as(ParseStatus)}, {Bye{}, as(ParseBye)},
		{Count{}, as(ParseCount)}, {Route{}, as(ParseRoute)}, {Open{}, as(ParseOpen)}, {Opened{}, as(ParseOpened)},
		{Batch{}, as(ParseBatch)}, {Fields{}, as(ParseFields)}, {Page{}, as(ParsePage)}, {Body{}, as(ParseBody)}, {Attest{}, as(ParseAttest)},
	} {
		got, err := m.parse(m.message.Append([]byte{}))
		if err != nil {
			t.Errorf("parse %T: %v", m.message, err)
		} else if diff := cmp.Diff(m.message, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%T (-want +got):\n%s", m.message, diff)
		}
	}
}

func TestEveryCutOfABodyIsAnError(t *testing.T) {
	for _, e := range examples {
		if e.name == "body" {
			continue // any bytes are a piece of a stream
		}
		t.Run(e.name, func(t *testing.T) {
			full := e.message.Append(nil)
			for n := range full {
				if _, err := e.parse(full[:n]); CodeOf(err) != ProtocolError {
					t.Fatalf("first %d of %d bytes: got %v, want protocol_error", n, len(full), err)
				}
			}
		})
	}
}

func TestTrailingByteIsAnError(t *testing.T) {
	for _, e := range examples {
		if e.name == "body" {
			continue
		}
		if _, err := e.parse(append(e.message.Append(nil), 0)); CodeOf(err) != ProtocolError {
			t.Errorf("%s and one byte more: got %v, want protocol_error", e.name, err)
		}
	}
}

// A writer keeps the limits too, so that a fault shows where it was made.
func TestMessageBeyondALimitIsNotWritten(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, m := range map[string]Message{
		"network":      Hello{Network: long(MaxNetwork + 1)},
		"agent":        Hello{Agent: long(MaxAgent + 1)},
		"region":       Welcome{Region: long(MaxRegion + 1)},
		"country":      Place{Country: "deu"},
		"bye detail":   Bye{Detail: long(MaxDetail + 1)},
		"channel body": ChannelOffer{Body: filled(MaxChannelBody+1, 0)},
		"receipt body": ReceiptOffer{Body: filled(MaxReceiptBody+1, 0)},
		"tallies":      Count{Tallies: make([]Tally, MaxTallies+1)},
		"order":        Count{Tallies: []Tally{{Grant: id16(2)}, {Grant: id16(1)}}},
		"twice":        Count{Tallies: []Tally{{Grant: id16(2)}, {Grant: id16(2)}}},
		"avoid":        Route{Avoid: make([]ID, MaxAvoid+1)},
		"later grant":  Regrant{Grant: filled(MaxGrant+1, 0)},
		"grant":        Open{Grant: filled(MaxGrant+1, 0)},
		"host":         Open{Host: long(MaxHost + 1)},
		"detail":       Opened{Detail: long(MaxDetail + 1)},
		"crawl agent":  Batch{Agent: long(MaxAgent + 1)},
		"fields":       Fields{List: make([]Field, MaxFields+1)},
		"field value":  Fields{List: []Field{{Value: long(MaxFieldValue + 1)}}},
		"URLs":         Batch{URLs: make([]string, MaxURLs+1)},
		"URL":          Batch{URLs: []string{long(MaxURL + 1)}},
		"final URL":    Page{URL: long(MaxURL + 1)},
		"hops":         Page{Hops: make([]string, MaxHops+1)},
		"hop":          Page{Hops: []string{long(MaxURL + 1)}},
		"rule":         Page{Rule: long(MaxRule + 1)},
		"request":      Page{Request: filled(MaxHeaderBlock+1, 0)},
		"response":     Page{Response: filled(MaxHeaderBlock+1, 0)},
		"attestation":  Page{Attest: filled(AttestSize+1, 0)},
		"piece":        Body{Data: filled(MaxBodyChunk+1, 0)},
	} {
		var out bytes.Buffer
		if err := Write(&out, m); !errors.Is(err, ErrBounds) || out.Len() > 0 {
			t.Errorf("%s: got %v and %d bytes written, want ErrBounds and none", name, err, out.Len())
		}
	}
}

// A length is judged before its bytes are looked for: these bodies end where the
// limit is broken, and must not be reported as merely short.
func TestLengthBeyondALimitIsRefusedBeforeItsBytes(t *testing.T) {
	for _, c := range []struct {
		name  string
		body  []byte
		parse func([]byte) (codec, error)
		want  string
	}{
		{"network", append(make([]byte, 2+1+1+2+8), MaxNetwork+1), as(ParseHello), "protocol_error: hello has a network beyond its limit"},
		{"grant", []byte{0xff, 0xff}, as(ParseOpen), "protocol_error: open has a grant beyond its limit"},
		{"tallies", append(make([]byte, 32), 0xff, 0xff), as(ParseCount), "protocol_error: count has a number of tallies beyond its limit"},
		{"edges", append(make([]byte, 32), 0xff), as(ParseRoute), "protocol_error: route has a number of edges beyond its limit"},
		{"piece", make([]byte, MaxBodyChunk+1), as(ParseBody), "protocol_error: body has a piece beyond its limit"},
	} {
		if _, err := c.parse(c.body); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// A count inside its limit buys no memory for items that were not sent.
func TestCountWithoutItsItemsAllocatesNothingForThem(t *testing.T) {
	body := append(make([]byte, 32), MaxTallies>>8, MaxTallies&0xff)
	m, err := ParseCount(body)
	if CodeOf(err) != ProtocolError || m.Tallies != nil {
		t.Errorf("got %d tallies and %v, want none and protocol_error", len(m.Tallies), err)
	}
}

func TestTalliesOutOfOrderAreRefused(t *testing.T) {
	body := Count{Tallies: []Tally{{Grant: id16(1)}, {Grant: id16(2)}}}.Append(nil)
	first := body[32+2 : 32+2+tallySize]
	copy(first, filled(16, 3))
	if _, err := ParseCount(body); CodeOf(err) != ProtocolError {
		t.Errorf("got %v, want protocol_error", err)
	}
}

func TestGreatestPageFitsAFrame(t *testing.T) {
	url := strings.Repeat("u", MaxURL)
	hops := make([]string, MaxHops)
	for i := range hops {
		hops[i] = url
	}
	page := Page{URL: url, Hops: hops, Rule: strings.Repeat("r", MaxRule), Request: filled(MaxHeaderBlock, 1),
		Response: filled(MaxHeaderBlock, 2), Attest: filled(AttestSize, 3)}
	if err := Write(&bytes.Buffer{}, page); err != nil {
		t.Errorf("write: %v", err)
	}
}

func TestAttestHasOneLengthAndOneType(t *testing.T) {
	body := Attest{}.Append(nil)
	if len(body) != AttestSize {
		t.Errorf("got %d bytes, want %d", len(body), AttestSize)
	}
	for i, what := range []string{"version", "version", "type", "type"} {
		other := bytes.Clone(body)
		other[i] ^= 0x40
		if _, err := ParseAttest(other); CodeOf(err) != ProtocolError {
			t.Errorf("other %s: got %v, want protocol_error", what, err)
		}
	}
}

func TestAppsHoldsWhatWasPutIn(t *testing.T) {
	s := AppsOf(AppCrawl)
	if s.Has(AppProxy) || !s.Has(AppCrawl) || s.Has(0) || s.Has(200) {
		t.Errorf("set %08b: got proxy %v, crawl %v, app 0 %v, app 200 %v, want only crawl",
			s, s.Has(AppProxy), s.Has(AppCrawl), s.Has(0), s.Has(200))
	}
}
