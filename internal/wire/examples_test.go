package wire

import "bytes"

// example is one message of each type with every field set, and its parser. The
// vectors, the prefix tests and the fuzz seeds all come from this table.
type example struct {
	name    string
	message codec
	parse   func([]byte) (codec, error)
}

// codec is a Message or an Attest.
type codec interface{ Append([]byte) []byte }

// as hides the type of a parser's result.
func as[M codec](parse func([]byte) (M, error)) func([]byte) (codec, error) {
	return func(b []byte) (codec, error) { return parse(b) }
}

// filled is n bytes of x, so that each field shows in a hex dump.
func filled(n int, x byte) []byte { return bytes.Repeat([]byte{x}, n) }

func id16(x byte) [16]byte { return [16]byte(filled(16, x)) }
func id32(x byte) [32]byte { return [32]byte(filled(32, x)) }
func id64(x byte) [64]byte { return [64]byte(filled(64, x)) }

const moment = 1_760_000_000_000 // Unix milliseconds

var examples = []example{
	{"hello", Hello{Version: 1, Role: RoleEdge, Apps: AppsOf(AppProxy, AppCrawl), Streams: 512, Clock: moment,
		Network: "test", Agent: "sward-edge/0.1", Consent: id32(0xc0), Policy: id32(0xb0)}, as(ParseHello)},
	{"welcome", Welcome{Version: 1, Clock: moment, Streams: 512, Step: 65536, Window: 524288, Region: "eu-west"}, as(ParseWelcome)},
	{"status", Status{Flags: StatusPaused, Room: 1 << 40, Policy: id32(0xb0), Apps: AppsOf(AppProxy)}, as(ParseStatus)},
	{"bye", Bye{Code: Draining, Detail: "restart in a minute"}, as(ParseBye)},
	{"channel-ask", ChannelAsk{ChannelKey: id32(1), Nonce: id16(2), Policy: id32(3), Consent: id32(4), Class: 5}, as(ParseChannelAsk)},
	{"channel-offer", ChannelOffer{Body: filled(9, 1), Sig: id64(2)}, as(ParseChannelOffer)},
	{"channel-accept", ChannelAccept{Channel: id32(1), Sig: id64(2)}, as(ParseChannelAccept)},
	{"count", Count{Channel: id32(1), Tallies: []Tally{
		{Grant: id16(2), Up: 3, Down: 4, Streams: 5}, {Grant: id16(6), Up: 7, Down: 1 << 62, Streams: 9}}}, as(ParseCount)},
	{"receipt-offer", ReceiptOffer{Body: filled(9, 1), Sig: id64(2)}, as(ParseReceiptOffer)},
	{"receipt-sign", ReceiptSign{Channel: id32(1), Serial: 2, Sig: id64(3)}, as(ParseReceiptSign)},
	{"done", Done{Stream: 4, Bytes: 1 << 33}, as(ParseDone)},
	{"observed", Observed{Address: [16]byte(filled(16, 0x40))}, as(ParseObserved)},
	{"place", Place{Edge: id32(1), Country: "de", ASN: 3320}, as(ParsePlace)},
	{"demand", Demand{Period: 60, Seen: 1, Named: 2, Elsewhere: 3, OtherApp: 4, Eligible: 5, Won: 6, Kept: 7, Paused: 8, Full: 9, Capped: 10,
		Away: 11, Barred: 12, Unsealed: 13, Blocked: 14, Fair: 15, Lines: 16, Weight: 17, Failing: 18, Delay: 19, Prefix: 20, Fellows: 21, RoomLeft: 22}, as(ParseDemand)},
	{"reach", Reach{Flags: ReachCircuit, Port: 7446}, as(ParseReach)},
	{"dial-back", DialBack{Port: 7446}, as(ParseDialBack)},
	{"dialed-back", DialedBack{Port: 7446, Code: DialTimeout}, as(ParseDialedBack)},
	{"regrant", Regrant{Grant: filled(9, 1)}, as(ParseRegrant)},
	{"route", Route{Edge: id32(1), Avoid: []ID{id32(2), id32(3)}}, as(ParseRoute)},
	{"open", Open{Grant: filled(9, 1), App: AppProxy, Hops: 1, Host: "example.org", Port: 443}, as(ParseOpen)},
	{"opened", Opened{Code: DestPrivate, Edge: id32(1), Detail: "10.0.0.1 is private"}, as(ParseOpened)},
	{"batch", Batch{Job: id16(1), Delay: 1000, Deadline: 60000, MaxWire: 1 << 20, MaxBody: 1 << 22, Agent: "swardbot/1",
		URLs: []string{"https://example.org/", "https://example.org/a"}}, as(ParseBatch)},
	{"fields", Fields{List: []Field{{Index: 1, Name: FieldIfNoneMatch, Value: `"v1"`}, {Index: AllURLs, Name: FieldSignature, Value: "sig1=:AA==:"}}}, as(ParseFields)},
	{"page", Page{Index: 1, Code: OK, Status: 200, Flags: PageDecodedTruncated, Started: moment, Took: 120,
		URL: "https://example.org/b", Hops: []string{"https://example.org/a"}, Rule: "allow: /", RetryAfter: 2, CrawlDelay: 3,
		Address: id16(4), Request: []byte("GET"), Response: []byte("200"), Attest: filled(AttestSize, 5), Sig: id64(6)}, as(ParsePage)},
	{"body", Body{Data: filled(9, 1)}, as(ParseBody)},
	{"batch-end", BatchEnd{Code: FetchTimeout, Fetched: 1}, as(ParseBatchEnd)},
	{"attest", Attest{Job: id16(1), URLHash: id32(2), Status: 200, BodySHA256: id32(3), BodyLen: 4, HeaderDigest: id32(5),
		Time: moment, Channel: id32(6)}, as(ParseAttest)},
}
