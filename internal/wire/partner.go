package wire

import "strings"

// maxPartnerName bounds a partner's name in bytes: it is the user name of a proxy login, and RFC 1929 gives that 255 with
// its parameters.
const maxPartnerName = 64

// loginPrefixes are how user names of other networks begin, which the door takes too.
var loginPrefixes = []string{"brd-customer-", "lum-customer-", "customer-", "package-"}

// loginWords are the parameters that may follow a partner's name in a login, `acme-country-de`, of all grammars that the
// door takes. A name ends at the first of them.
var loginWords = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq(`asn bindttl c_tag carrier cc city const country direct dns gip hard idle idlettl ip isp
		lifetime opt os region res sessid sessid_oneip session sessionid sessionlength sesstime sid st state strict ttl type
		zip zone`) {
		loginWords[word] = true
	}
}

// LoginWord reports whether word, in any case, is a parameter of a login and so no part of a name.
func LoginWord(word string) bool { return loginWords[strings.ToLower(word)] }

// LoginPrefix is what of another network's user name stands before the customer's, empty when user begins like none.
func LoginPrefix(user string) string {
	for _, prefix := range loginPrefixes {
		if strings.HasPrefix(user, prefix) {
			return prefix
		}
	}
	return ""
}

// CheckPartnerName says whether a partner may have the name. One that could be read as a name with parameters may not be
// given: the door would look for another account. The hub asks before it opens an account, the door before it asks.
func CheckPartnerName(name string) error {
	if name == "" || len(name) > maxPartnerName || strings.Trim(name, nameBytes) != "" {
		return Errorf(BadRequest, "a partner's name is 1 to %d letters, digits, dots, hyphens and underscores", maxPartnerName)
	}
	if prefix := LoginPrefix(name); prefix != "" {
		return Errorf(BadRequest, "a partner's name does not begin with %q: such logins are read by another network's grammar", prefix)
	}
	if strings.Contains(name, "__") {
		return Errorf(BadRequest, "a partner's name does not hold two underscores in a row: parameters follow them")
	}
	for part := range strings.SplitSeq(name, "-") {
		if LoginWord(part) {
			return Errorf(BadRequest, "a partner's name does not hold %q between hyphens: it is a parameter of logins", part)
		}
	}
	return nil
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
