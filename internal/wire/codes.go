package wire

import (
	"fmt"
	"time"
)

// Code is why a peer refuses or fails: the one set of reasons that crosses the
// network. It is closed and append-only: a number is never used again, and a
// reader shows a number it does not know as "code_<number>". The high byte groups
// the codes by subject.
type Code uint16

// OK is the absence of a reason.
const OK Code = 0x0000

// The request and who makes it.
const (
	BadRequest         Code = 0x0101
	BadHost            Code = 0x0102
	BadPort            Code = 0x0103
	UnsupportedCommand Code = 0x0104
	UnsupportedAddress Code = 0x0105
	AuthRequired       Code = 0x0106
	AuthFailed         Code = 0x0107
	BalanceExhausted   Code = 0x0108
	PartnerLimit       Code = 0x0109
	OverLimit          Code = 0x010a
	HeaderTooLarge     Code = 0x010b
	BadParameter       Code = 0x010c
	TooManyAttempts    Code = 0x010d
	PartnerCap         Code = 0x010e
	UpgradeDenied      Code = 0x010f
)

// Destinations nobody may reach.
const (
	DestLoopback    Code = 0x0201
	DestPrivate     Code = 0x0202
	DestLinkLocal   Code = 0x0203
	DestULA         Code = 0x0204
	DestName        Code = 0x0205
	DestUnspecified Code = 0x0206
	DestShared      Code = 0x0207
	DestEmbedded    Code = 0x0208
	DestSpecial     Code = 0x0209
	DestMulticast   Code = 0x020a
	DestSelf        Code = 0x020b
	DestSelfPrefix  Code = 0x020c
	DestNetwork     Code = 0x020d
	Loop            Code = 0x020e
)

// What the owner or the network does not carry.
const (
	PortMail        Code = 0x0301
	PortNotAllowed  Code = 0x0302
	CategoryDenied  Code = 0x0303
	DomainDenied    Code = 0x0304
	PurposeDenied   Code = 0x0305
	AppDenied       Code = 0x0306
	PlainHTTPDenied Code = 0x0307
	TargetLimit     Code = 0x0308
	ScanLimit       Code = 0x0309
	SNIMismatch     Code = 0x030a
	ProtoNotTLS     Code = 0x030b
)

// An edge that cannot serve now.
const (
	NoConsent   Code = 0x0401
	Paused      Code = 0x0402
	OutOfHours  Code = 0x0403
	CapDay      Code = 0x0404
	CapMonth    Code = 0x0405
	StreamLimit Code = 0x0406
	EdgeGone    Code = 0x0407
	EdgeTimeout Code = 0x0408
	SessionGone Code = 0x0409
)

// The relay and the hub.
const (
	NoEdge   Code = 0x0501
	HubAway  Code = 0x0502
	Draining Code = 0x0503
	DoorFull Code = 0x0504
	Internal Code = 0x0505
	NoMatch  Code = 0x0506
)

// The session and its account.
const (
	ProtocolError      Code = 0x0601
	VersionUnsupported Code = 0x0602
	ClockSkew          Code = 0x0603
	GrantInvalid       Code = 0x0604
	WindowClosed       Code = 0x0605
	Binding            Code = 0x0606
)

// The target.
const (
	DNSError         Code = 0x0701
	DNSNotFound      Code = 0x0702
	DialRefused      Code = 0x0703
	DialUnreachable  Code = 0x0704
	DialTimeout      Code = 0x0705
	TargetClosed     Code = 0x0706
	TLSError         Code = 0x0707
	FetchTimeout     Code = 0x0708
	TooManyRedirects Code = 0x0709
)

// Crawling.
const (
	RedirectDenied    Code = 0x0801
	RobotsDenied      Code = 0x0802
	RobotsUnreachable Code = 0x0803
)

// Owner says who can mend a failure, and so whom a failure counts against.
type Owner string

// The owners. OwnerPolicy is nobody's fault: a rule worked.
const (
	OwnerNone   Owner = ""
	OwnerClient Owner = "client"
	OwnerPolicy Owner = "policy"
	OwnerEdge   Owner = "edge"
	OwnerRelay  Owner = "relay"
	OwnerTarget Owner = "target"
)

// A row gives one code to each of the languages a partner speaks: HTTP status
// (RFC 9110), SOCKS5 reply (RFC 1928 §6) and proxy error type (RFC 9209 §2.3).
type row struct {
	code    Code
	name    string
	http    int
	socks   byte
	proxy   string
	owner   Owner
	meaning string
}

// codes is the closed table, in ascending order of code.
var codes = []row{
	{OK, "ok", 200, 0, "", OwnerNone, "nothing is wrong"},
	{BadRequest, "bad_request", 400, 1, "http_request_error", OwnerClient, "the request is not a proxy request this door understands"},
	{BadHost, "bad_host", 400, 1, "http_request_error", OwnerClient, "the host is neither a full DNS name nor a canonical IP address"},
	{BadPort, "bad_port", 400, 1, "http_request_error", OwnerClient, "the port is not a decimal number from 1 to 65535"},
	{UnsupportedCommand, "unsupported_command", 405, 7, "http_request_error", OwnerClient, "only TCP connections are carried: no BIND, no UDP"},
	{UnsupportedAddress, "unsupported_address", 400, 8, "http_request_error", OwnerClient, "the SOCKS address type is unknown"},
	{AuthRequired, "auth_required", 407, 2, "http_request_denied", OwnerClient, "no credential was given"},
	{AuthFailed, "auth_failed", 407, 2, "http_request_denied", OwnerClient, "the credential is wrong or no longer valid"},
	{BalanceExhausted, "balance_exhausted", 402, 2, "http_request_denied", OwnerClient, "the account's prepaid balance is used up"},
	{PartnerLimit, "partner_limit", 429, 2, "http_request_denied", OwnerClient, "the account exceeds its rate or its number of connections"},
	{OverLimit, "over_limit", 403, 2, "http_request_denied", OwnerClient, "the grant was used up in the middle of a stream"},
	{HeaderTooLarge, "header_too_large", 431, 1, "http_request_error", OwnerClient, "the request's head is too long or has too many fields"},
	{BadParameter, "bad_parameter", 400, 1, "http_request_error", OwnerClient, "a parameter in the user name or password is unknown or malformed"},
	{TooManyAttempts, "too_many_attempts", 429, 2, "http_request_denied", OwnerClient, "too many wrong credentials were tried, so that none is heard for a while"},
	{PartnerCap, "partner_cap", 429, 2, "http_request_denied", OwnerClient, "the account's daily volume is used up"},
	{UpgradeDenied, "upgrade_denied", 501, 2, "http_request_denied", OwnerClient, "a plain request cannot change its protocol here: use CONNECT"},
	{DestLoopback, "dest_loopback", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is loopback"},
	{DestPrivate, "dest_private", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is private (RFC 1918)"},
	{DestLinkLocal, "dest_linklocal", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is link-local, cloud metadata included"},
	{DestULA, "dest_ula", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is a unique local IPv6 address"},
	{DestName, "dest_name", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the name is reserved for local use"},
	{DestUnspecified, "dest_unspecified", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is in 0.0.0.0/8 or is ::"},
	{DestShared, "dest_shared", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is shared by a carrier (100.64.0.0/10)"},
	{DestEmbedded, "dest_embedded", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the IPv6 address embeds an IPv4 address"},
	{DestSpecial, "dest_special", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is not globally reachable (IANA special-purpose)"},
	{DestMulticast, "dest_multicast", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is multicast or broadcast"},
	{DestSelf, "dest_self", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address belongs to the edge's own machine or router"},
	{DestSelfPrefix, "dest_self_prefix", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address is inside the edge's own network"},
	{DestNetwork, "dest_network", 403, 2, "destination_ip_prohibited", OwnerPolicy, "the address belongs to the network's own relays or hub"},
	{Loop, "loop", 508, 2, "proxy_loop_detected", OwnerPolicy, "the stream has passed through too many relays"},
	{PortMail, "port_mail", 403, 2, "http_request_denied", OwnerPolicy, "mail ports are never open by default"},
	{PortNotAllowed, "port_not_allowed", 403, 2, "http_request_denied", OwnerPolicy, "the port is not allowed"},
	{CategoryDenied, "category_denied", 403, 2, "http_request_denied", OwnerPolicy, "the target's category is denied"},
	{DomainDenied, "domain_denied", 403, 2, "http_request_denied", OwnerPolicy, "the target's domain is denied"},
	{PurposeDenied, "purpose_denied", 403, 2, "http_request_denied", OwnerPolicy, "the owner does not accept the account's purpose"},
	{AppDenied, "app_denied", 403, 2, "http_request_denied", OwnerPolicy, "the owner does not serve this application"},
	{PlainHTTPDenied, "plain_http_denied", 403, 2, "http_request_denied", OwnerPolicy, "the owner carries only encrypted traffic"},
	{TargetLimit, "target_limit", 429, 2, "http_request_denied", OwnerPolicy, "the target has as many requests as the network lets it have"},
	{ScanLimit, "scan_limit", 429, 2, "http_request_denied", OwnerPolicy, "the account tries too many targets through one edge"},
	{SNIMismatch, "sni_mismatch", 403, 2, "tls_protocol_error", OwnerPolicy, "the TLS handshake names another server, which is denied"},
	{ProtoNotTLS, "proto_not_tls", 403, 2, "tls_protocol_error", OwnerPolicy, "what is sent to port 443 is not TLS"},
	{NoConsent, "no_consent", 503, 1, "destination_unavailable", OwnerEdge, "the edge's owner has not consented to the current terms"},
	{Paused, "paused", 503, 1, "destination_unavailable", OwnerEdge, "the edge's owner has paused it"},
	{OutOfHours, "out_of_hours", 503, 1, "destination_unavailable", OwnerEdge, "the edge does not serve at this hour"},
	{CapDay, "cap_day", 503, 1, "destination_unavailable", OwnerEdge, "the owner's daily volume is used up"},
	{CapMonth, "cap_month", 503, 1, "destination_unavailable", OwnerEdge, "the owner's monthly volume is used up"},
	{StreamLimit, "stream_limit", 503, 1, "connection_limit_reached", OwnerEdge, "the edge carries as many streams as it may"},
	{EdgeGone, "edge_gone", 502, 1, "connection_terminated", OwnerEdge, "the edge disconnected"},
	{EdgeTimeout, "edge_timeout", 504, 6, "connection_timeout", OwnerEdge, "the edge did not answer in time"},
	{SessionGone, "session_gone", 502, 1, "connection_terminated", OwnerEdge, "the edge of this hard session has left"},
	{NoEdge, "no_edge", 503, 1, "destination_unavailable", OwnerRelay, "no connected edge can serve the request"},
	{HubAway, "hub_away", 503, 1, "proxy_internal_error", OwnerRelay, "the hub cannot be reached to authorise the request"},
	{Draining, "draining", 503, 1, "destination_unavailable", OwnerRelay, "the peer is shutting down and takes nothing new"},
	{DoorFull, "door_full", 503, 1, "connection_limit_reached", OwnerRelay, "the relay's door has as many connections as it may"},
	{Internal, "internal", 500, 1, "proxy_internal_error", OwnerRelay, "a fault of ours, logged with its cause"},
	{NoMatch, "no_match", 503, 1, "destination_unavailable", OwnerRelay, "no connected edge is where the request asks for"},
	{ProtocolError, "protocol_error", 502, 1, "http_protocol_error", OwnerRelay, "a peer broke the tunnel protocol"},
	{VersionUnsupported, "version_unsupported", 505, 1, "http_protocol_error", OwnerEdge, "the peers share no protocol version"},
	{ClockSkew, "clock_skew", 403, 1, "proxy_configuration_error", OwnerEdge, "the peers' clocks differ too much to sign times"},
	{GrantInvalid, "grant_invalid", 403, 2, "http_request_denied", OwnerRelay, "the grant is unsigned, expired or for another relay"},
	{WindowClosed, "window_closed", 403, 1, "connection_terminated", OwnerRelay, "too many bytes are without a signed receipt"},
	{Binding, "binding", 403, 1, "connection_terminated", OwnerRelay, "the channel is bound to another session"},
	{DNSError, "dns_error", 502, 4, "dns_error", OwnerTarget, "the target's name could not be resolved"},
	{DNSNotFound, "dns_not_found", 502, 4, "dns_error", OwnerTarget, "the target's name does not exist"},
	{DialRefused, "dial_refused", 502, 5, "connection_refused", OwnerTarget, "the target refused the connection"},
	{DialUnreachable, "dial_unreachable", 502, 3, "destination_ip_unroutable", OwnerTarget, "no route leads to the target"},
	{DialTimeout, "dial_timeout", 504, 6, "connection_timeout", OwnerTarget, "the target did not accept the connection in time"},
	{TargetClosed, "target_closed", 502, 1, "connection_terminated", OwnerTarget, "the target closed the connection before it answered"},
	{TLSError, "tls_error", 502, 1, "tls_protocol_error", OwnerTarget, "the target's TLS could not be verified"},
	{FetchTimeout, "fetch_timeout", 504, 6, "http_response_timeout", OwnerTarget, "the target did not answer the request in time"},
	{TooManyRedirects, "too_many_redirects", 502, 1, "http_protocol_error", OwnerTarget, "the target redirects without end"},
	{RedirectDenied, "redirect_denied", 403, 2, "http_request_denied", OwnerPolicy, "the page redirects to where the crawler may not go"},
	{RobotsDenied, "robots_denied", 403, 2, "http_request_denied", OwnerPolicy, "the site's robots.txt forbids the fetch (RFC 9309)"},
	{RobotsUnreachable, "robots_unreachable", 502, 1, "http_request_denied", OwnerTarget, "the site's robots.txt could not be read, which forbids all"},
}

var (
	codeRows  = make(map[Code]*row, len(codes))
	codeNames = make(map[string]Code, len(codes))
)

// The table is read by code and by name.
func init() {
	for i := range codes {
		codeRows[codes[i].code] = &codes[i]
		codeNames[codes[i].name] = codes[i].code
	}
}

// retries are the codes after which the same request may succeed, each with how
// long to wait before it is tried again (Retry-After, RFC 9110 §10.2.3). After the
// others waiting does not help, or another edge may be tried at once.
var retries = map[Code]time.Duration{
	PartnerLimit: time.Second, TooManyAttempts: time.Minute, TargetLimit: time.Second, ScanLimit: 10 * time.Second,
	StreamLimit: time.Second, NoEdge: 5 * time.Second, NoMatch: 30 * time.Second, HubAway: 5 * time.Second,
	Draining: time.Second, DoorFull: time.Second,
}

// row finds c in the table. A code of a later version reads as a fault of ours.
func (c Code) row() row {
	if r, ok := codeRows[c]; ok {
		return *r
	}
	r := *codeRows[Internal]
	r.name, r.meaning = fmt.Sprintf("code_%d", uint16(c)), "a reason this version does not know"
	return r
}

// Name is the stable name: in headers, metrics, logs and policy.Denied.Rule.
func (c Code) Name() string { return c.row().name }

// HTTPStatus is the status of an HTTP answer with this code.
func (c Code) HTTPStatus() int { return c.row().http }

// SOCKS is the reply field of a SOCKS5 answer with this code.
func (c Code) SOCKS() byte { return c.row().socks }

// ProxyError is the error parameter of the Proxy-Status header, empty for OK.
func (c Code) ProxyError() string { return c.row().proxy }

// Owner says who can mend it.
func (c Code) Owner() Owner { return c.row().owner }

// Retry is how long to wait before the same request is tried again; 0 when waiting
// does not help.
func (c Code) Retry() time.Duration { return retries[c] }

// Meaning is one clause in plain words.
func (c Code) Meaning() string { return c.row().meaning }

// String is Name.
func (c Code) String() string { return c.Name() }

// CodeByName finds the code with the given stable name.
func CodeByName(name string) (Code, bool) {
	c, ok := codeNames[name]
	return c, ok
}

// Codes lists the table in ascending order, OK first.
func Codes() []Code {
	list := make([]Code, len(codes))
	for i, r := range codes {
		list[i] = r.code
	}
	return list
}
