package wire

// advice is what to do about each code, in words for whoever meets it.
var advice = map[Code]string{
	OK:                 "nothing",
	BadRequest:         "mend the request; a client that works with other HTTP/1.1 proxies works here",
	BadHost:            "name the host by its full DNS name or plain address",
	BadPort:            "give the port as a number",
	UnsupportedCommand: "open TCP connections only",
	UnsupportedAddress: "send an IPv4 address, an IPv6 address or a name",
	AuthRequired:       "send the name and key as Proxy-Authorization: Basic or as a SOCKS5 login",
	AuthFailed:         "check the name and the key",
	BalanceExhausted:   "add credit to the account",
	PartnerLimit:       "send fewer requests at once, or ask the operator for more",
	OverLimit:          "add credit to the account and ask again",
	HeaderTooLarge:     "send a smaller head: cookies are the usual cause",
	BadParameter:       "mend the parameter that is named",
	TooManyAttempts:    "wait, then use the right key",
	PartnerCap:         "wait for the next day (UTC), or ask the operator for more",
	UpgradeDenied:      "use CONNECT for WebSocket and HTTP/2, or leave Upgrade out",
	DestLoopback:       "nothing: no edge ever connects there",
	DestPrivate:        "nothing: no edge ever connects there",
	DestLinkLocal:      "nothing: no edge ever connects there",
	DestULA:            "nothing: no edge ever connects there",
	DestName:           "nothing: no edge ever connects there",
	DestUnspecified:    "nothing: no edge ever connects there",
	DestShared:         "nothing: no edge ever connects there",
	DestEmbedded:       "name the IPv4 address as such",
	DestSpecial:        "nothing: no edge ever connects there",
	DestMulticast:      "nothing: no edge ever connects there",
	DestSelf:           "nothing: no edge ever connects there",
	DestSelfPrefix:     "nothing: no edge ever connects there",
	DestNetwork:        "nothing: the network is not reached through itself",
	Loop:               "do not point a proxy at itself",
	PortMail:           "nothing: mail is not carried",
	PortNotAllowed:     "use 80 or 443, or ask the operator to open the port",
	CategoryDenied:     "ask again: another edge's owner may allow it",
	DomainDenied:       "ask again: another edge's owner may allow it",
	PurposeDenied:      "ask again: another edge's owner may accept it",
	AppDenied:          "ask again: another edge's owner may serve it",
	PlainHTTPDenied:    "use https",
	TargetLimit:        "wait: the limit is for all partners together",
	ScanLimit:          "wait, and name fewer targets for each session",
	SNIMismatch:        "name the server in CONNECT that the handshake is for",
	ProtoNotTLS:        "speak TLS on port 443",
	NoConsent:          "ask again: another edge serves",
	Paused:             "ask again: another edge serves",
	OutOfHours:         "ask again: another edge serves",
	CapDay:             "ask again: another edge serves",
	CapMonth:           "ask again: another edge serves",
	StreamLimit:        "wait, or use more sessions",
	EdgeGone:           "ask again: another edge serves",
	EdgeTimeout:        "ask again: another edge serves",
	SessionGone:        "begin a new session under another name",
	NoEdge:             "wait, or ask for less",
	HubAway:            "wait",
	Draining:           "ask again, or use another relay",
	DoorFull:           "wait, or use another relay",
	Internal:           "ask again; tell the operator when it stays",
	NoMatch:            "ask for another place, or wait",
	ProtocolError:      "ask again: another edge serves",
	VersionUnsupported: "ask again: another edge serves",
	ClockSkew:          "ask again: another edge serves",
	GrantInvalid:       "ask again; tell the operator when it stays",
	WindowClosed:       "ask again: another edge serves",
	Binding:            "ask again: another edge serves",
	DNSError:           "check the name, or ask again",
	DNSNotFound:        "check the name",
	DialRefused:        "check the port: the target is there and does not listen",
	DialUnreachable:    "check the address, or ask from another country",
	DialTimeout:        "ask again later: the target is down or drops what comes from this line",
	TargetClosed:       "ask again, from another line when it stays",
	TLSError:           "check the target's certificate",
	FetchTimeout:       "ask again later",
	TooManyRedirects:   "check the address for a circle of redirects",
	RedirectDenied:     "nothing: the page leads to where the crawler may not go",
	RobotsDenied:       "nothing: the site says no",
	RobotsUnreachable:  "ask again later: until robots.txt can be read, the site says no",
}

// midway are the codes that can come after bytes have moved.
var midway = map[Code]bool{
	BadRequest: true, OverLimit: true, SNIMismatch: true, ProtoNotTLS: true, EdgeGone: true, WindowClosed: true,
	ProtocolError: true, Binding: true, TargetClosed: true, FetchTimeout: true, Internal: true,
}

// Advice is one clause on what to do about it.
func (c Code) Advice() string {
	if s, ok := advice[c]; ok {
		return s
	}
	return advice[Internal]
}

// Midway reports whether the code can end what has begun. What had moved by then is paid; any other refusal costs nothing.
func (c Code) Midway() bool { return midway[c] }
