package gateway

import "time"

// Exit is what a partner asks of the edge that its request leaves from, whatever the grammar it asked in. The zero value
// is any edge, and another one for each request.
type Exit struct {
	Country string // ISO 3166-1 alpha-2 in lower case, or "eu" for any member state of the European Union
	Region  string // in lower case, letters and digits only, as City
	City    string
	ASN     uint32 // of the line's network (RFC 6793)

	// Session is the partner's word for a run of requests that leave from one edge; empty is another edge each time.
	Session string
	Hard    bool          // the session ends with its edge; otherwise it goes on with another one
	TTL     time.Duration // of the session, from its first request; 0 is the default
	Idle    time.Duration // the session also ends after so long without a request; 0 is the default
}

// Line is what is known of the line that a connection leaves from. What is not known is empty.
type Line struct {
	Edge    string
	Country string // ISO 3166-1 alpha-2 in lower case
	Region  string
	City    string
	ASN     uint32
	Class   string // residential, hosting or unknown: derived from the address, never the edge's own word
}
