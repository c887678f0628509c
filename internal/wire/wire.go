// Package wire is the language of a Sward tunnel: the frames that edges, relays
// and the hub say to each other, the limits on them, and the closed set of codes
// with which they refuse.
//
// It exists so that everything two peers must agree on to the byte stands in one
// small place without dependencies. PROTOCOL.md is the normative text; the const
// block of frame types below is its table, and a test keeps the two code tables
// equal.
//
// A session is a QUIC connection between two identities. Its first stream is the
// control stream and opens with a greeting:
//
//	dialer (edge, hub)                     listener (relay)
//	Hello  ─────────────────────────────▶
//	       ◀─────────────────────────────  Welcome, or Bye with a code
//	Status, ChannelAsk, Count, … ◀──────▶  ChannelOffer, ReceiptOffer, …
//
// Every other stream carries one proxied connection or one crawl job:
//
//	opener                                 acceptor
//	Open   ─────────────────────────────▶
//	       ◀─────────────────────────────  Opened with code 0, or with a refusal
//	bytes of the connection, or Batch, Page and Body frames
//
// A codec is one walk over the fields (cursor), used for writing and for reading,
// so that the two cannot differ. What it reads is strict: no missing byte, no
// trailing byte, every length bounded before anything is allocated.
package wire

// ALPN is the application protocol that both ends of a session negotiate in TLS.
const ALPN = "sward/1"

// Version is the protocol version in Hello, Welcome and the signed bodies. It
// changes only when the meaning of an existing field changes.
const Version = 1

// ID is an Ed25519 public key, the name of a peer. It is spelled out here so that
// this package needs no other; identity.ID has the same underlying type.
type ID = [32]byte

// Type is the first byte of a frame.
type Type uint8

// The frame table. Each comment is the layout of the body: numbers are big-endian,
// u8…u64 unsigned, i64 two's complement, str8 and bytes16 are a u8 or u16 length
// and that many bytes, n× is a count and that many items.
const (
	// Control stream.
	TypeHello      Type = 0x01 // dialer→listener: version u16 | role u8 | apps u8 | streams u16 | clock i64 ms | network str8 | agent str8 | consent [32] | policy [32]
	TypeWelcome    Type = 0x02 // listener→dialer: version u16 | clock i64 ms | streams u16 | step u32 | window u32 | region str8
	TypeStatus     Type = 0x03 // edge→relay: flags u8 (1 paused) | room u64 | policy [32] | apps u8
	TypeBye        Type = 0x04 // either: code u16 | detail str8
	TypeObserved   Type = 0x05 // relay→edge: address [16]
	TypePlace      Type = 0x06 // relay→hub: edge [32] | country str8 | ASN u32
	TypeDemand     Type = 0x07 // relay→edge: period u32 s | 15 counts u64 | lines u32 | weight, failing, delay, prefix u16 | fellows u32 | room left u16
	TypeDialBack   Type = 0x08 // edge→relay: port u16
	TypeDialedBack Type = 0x09 // relay→edge: port u16 | code u16
	TypeReach      Type = 0x0A // edge→relay: flags u8 (1 circuit) | port u16

	TypeChannelAsk    Type = 0x10 // edge→relay: channel key [32] | nonce [16] | policy [32] | consent [32] | class u16
	TypeChannelOffer  Type = 0x11 // relay→edge: channel body bytes16 | relay's signature [64]
	TypeChannelAccept Type = 0x12 // edge→relay: channel [32] | edge's signature [64]
	TypeCount         Type = 0x13 // edge→relay: channel [32] | u16× (grant [16] | up u64 | down u64 | streams u32), ascending by grant
	TypeReceiptOffer  Type = 0x14 // relay→edge: receipt body bytes16 | relay's channel key's signature [64]
	TypeReceiptSign   Type = 0x15 // edge→relay: channel [32] | serial u64 | edge's channel key's signature [64]
	TypeDone          Type = 0x16 // either: stream u64 | bytes u64
	TypeRegrant       Type = 0x17 // relay→edge: grant bytes16

	// Start of every other stream.
	TypeOpen   Type = 0x20 // opener→acceptor: grant bytes16 | app u8 | hops u8 | host str8 | port u16
	TypeOpened Type = 0x21 // acceptor→opener: code u16 | edge [32] | detail str8
	TypeRoute  Type = 0x22 // hub→relay, before Open: edge [32] (zero = any) | u8× edge to avoid [32]

	// Crawl streams, after Opened.
	TypeBatch    Type = 0x30 // crawler→edge: job [16] | delay u32 ms | deadline u32 ms | max wire u32 | max body u32 | agent str8 | u16× URL bytes16
	TypePage     Type = 0x31 // edge→crawler: index u16 | code u16 | status u16 | flags u8 | started i64 ms | took u32 ms | URL bytes16 | u8× hop bytes16 | rule str8 | retry after u32 s | crawl delay u32 ms | address [16] | request bytes16 | response bytes16 | attest bytes16 | signature [64]
	TypeBody     Type = 0x32 // edge→crawler: a piece of the page's zstd stream, no length of its own; empty ends the page
	TypeBatchEnd Type = 0x33 // edge→crawler: code u16 | fetched u16
	TypeFields   Type = 0x34 // crawler→edge, before Batch: u16× (URL's index u16 | field u8 | value str16)
)

var typeNames = map[Type]string{
	TypeHello: "hello", TypeWelcome: "welcome", TypeStatus: "status", TypeBye: "bye", TypeObserved: "observed", TypePlace: "place", TypeDemand: "demand", TypeDialBack: "dial back", TypeDialedBack: "dialed back", TypeReach: "reach",
	TypeChannelAsk: "channel ask", TypeChannelOffer: "channel offer", TypeChannelAccept: "channel accept",
	TypeCount: "count", TypeReceiptOffer: "receipt offer", TypeReceiptSign: "receipt sign", TypeDone: "done", TypeRegrant: "regrant",
	TypeOpen: "open", TypeOpened: "opened", TypeRoute: "route",
	TypeBatch: "batch", TypePage: "page", TypeBody: "body", TypeBatchEnd: "batch end", TypeFields: "fields",
}

// String names the frame as PROTOCOL.md does, for errors and metrics.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "unknown frame"
}

// Limits. A reader refuses what exceeds them and a writer does not send it.
const (
	MaxFrame       = 65535    // bytes of a frame's body: bounds what one frame can make a reader hold
	MaxNetwork     = 32       // bytes of a network's name
	MaxAgent       = 128      // bytes of a program's name and version, or of a User-Agent
	MaxRegion      = 64       // bytes of a relay's region
	MaxDetail      = 200      // bytes of a refusal's sentence
	MaxHost        = 253      // bytes of a DNS name (RFC 1035 §2.3.4, without the root dot)
	MaxGrant       = 1024     // bytes of a signed grant: 262 today, room for a later version
	MaxChannelBody = 1024     // bytes of a channel's signed body
	MaxReceiptBody = 40 << 10 // bytes of a receipt's signed body: the head and MaxTallies tallies
	MaxTallies     = 1024     // grants in one Count or receipt
	MaxAvoid       = 16       // edges a Route can exclude
	MaxHops        = 10       // redirects of one page, and relays a stream may pass
	MaxURLs        = 256      // URLs of one Batch; the frame's own limit binds first when they are long
	MaxURL         = 2048     // bytes of one URL
	MaxFields      = 520      // header fields of one Fields frame: two for each URL and a signature's
	MaxFieldValue  = 1024     // bytes of one of them
	MaxRule        = 200      // bytes of the robots rule that decided
	MaxHeaderBlock = 20 << 10 // bytes of a page's request or response head, so that any Page fits a frame
	MaxBodyChunk   = 32 << 10 // bytes of one Body frame, the size of a copy buffer
)
