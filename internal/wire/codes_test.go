package wire

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// proxyErrors are the types of RFC 9209 §2.3 that the table uses.
var proxyErrors = []string{
	"dns_error", "destination_unavailable", "destination_ip_prohibited", "destination_ip_unroutable",
	"connection_refused", "connection_terminated", "connection_timeout", "connection_limit_reached",
	"tls_protocol_error", "http_request_error", "http_request_denied", "http_response_timeout",
	"http_protocol_error", "proxy_internal_error", "proxy_configuration_error", "proxy_loop_detected",
}

func TestEveryCodeSpeaksEveryLanguage(t *testing.T) {
	owners := []Owner{OwnerClient, OwnerPolicy, OwnerEdge, OwnerRelay, OwnerTarget}
	names := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, c := range Codes() {
		if back, ok := CodeByName(c.Name()); !ok || back != c {
			t.Errorf("%s: found again as %v, %v", c, back, ok)
		}
		if !names.MatchString(c.Name()) || c.Meaning() == "" || strings.Contains(c.Meaning(), "|") {
			t.Errorf("%s: name or meaning %q will not do", c, c.Meaning())
		}
		if c == OK {
			continue
		}
		if http.StatusText(c.HTTPStatus()) == "" || c.HTTPStatus() < 400 {
			t.Errorf("%s: HTTP status %d is no refusal", c, c.HTTPStatus())
		}
		if c.SOCKS() < 1 || c.SOCKS() > 8 {
			t.Errorf("%s: SOCKS reply %d is no refusal of RFC 1928", c, c.SOCKS())
		}
		if !slices.Contains(proxyErrors, c.ProxyError()) {
			t.Errorf("%s: proxy error %q is not of RFC 9209", c, c.ProxyError())
		}
		if !slices.Contains(owners, c.Owner()) {
			t.Errorf("%s: owner %q", c, c.Owner())
		}
	}
}

func TestCodesAreInAscendingOrder(t *testing.T) {
	list := Codes()
	if list[0] != OK || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		t.Errorf("got %v, want OK first, each number once, ascending", list)
	}
}

// PROTOCOL.md is normative: a code that is only in the program, or only in the
// document, or differs between them, is a fault.
func TestProtocolDocumentListsExactlyTheCodes(t *testing.T) {
	doc, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?m)^\| 0x[0-9a-f]{4} \| .*$`).FindAllString(string(doc), -1)
	var want []string
	for _, c := range Codes() {
		want = append(want, fmt.Sprintf("| 0x%04x | `%s` | %d | %d | %s | %s | %s |",
			uint16(c), c.Name(), c.HTTPStatus(), c.SOCKS(), c.ProxyError(), c.Owner(), c.Meaning()))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table of codes (-codes.go +PROTOCOL.md):\n%s", diff)
	}
}

func TestProtocolDocumentListsExactlyTheFrames(t *testing.T) {
	doc, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for frameType, name := range typeNames {
		want = append(want, fmt.Sprintf("0x%02x %s", uint8(frameType), strings.ReplaceAll(name, " ", "")))
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (0x[0-9a-f]{2}) \| (\w+) \|`).FindAllStringSubmatch(string(doc), -1) {
		got = append(got, m[1]+" "+strings.ToLower(m[2]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table of frames (-wire.go +PROTOCOL.md):\n%s", diff)
	}
}

func TestUnknownCodeReadsAsAFaultOfOurs(t *testing.T) {
	c := Code(0xffff)
	if c.Name() != "code_65535" || c.HTTPStatus() != 500 || c.SOCKS() != 1 || c.Owner() != OwnerRelay {
		t.Errorf("got %s, HTTP %d, SOCKS %d, owner %s, want code_65535, 500, 1, relay", c.Name(), c.HTTPStatus(), c.SOCKS(), c.Owner())
	}
	if got, ok := CodeByName("code_65535"); ok {
		t.Errorf("found as %d, want no code of that name", got)
	}
}

func TestCodeOfFindsTheCodeInAChain(t *testing.T) {
	refusal := Opened{Code: DestPrivate, Edge: id32(1), Detail: "10.0.0.1"}.Err()
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, OK},
		{Opened{Code: OK}.Err(), OK},
		{refusal, DestPrivate},
		{fmt.Errorf("dial: %w", refusal), DestPrivate},
		{errors.New("disk is full"), Internal},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("code of %v: got %s, want %s", c.err, got, c.want)
		}
	}
}

func TestErrorSaysItsCodeAndWhy(t *testing.T) {
	for want, err := range map[string]error{
		"dest_private: 10.0.0.1":                 Errorf(DestPrivate, "10.0.0.1"),
		"paused: the edge's owner has paused it": &Error{Code: Paused},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}
