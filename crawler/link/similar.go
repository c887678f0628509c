package link

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Bounds on one address. What lies beyond them is made up by a program faster than anybody can read.
const (
	maxSegments   = 24 // of a path
	maxRepeats    = 3  // of one segment in a path: /a/b/a/b/a/b/a is a loop
	maxParameters = 24 // of a query
)

// sessionParameters name a visit, not a page.
var sessionParameters = map[string]bool{
	"phpsessid": true, "jsessionid": true, "sessionid": true, "session_id": true, "sid": true, "aspsessionid": true,
	"cfid": true, "cftoken": true,
}

// indexNames are what servers call the page of a directory.
var indexNames = map[string]bool{
	"index.html": true, "index.htm": true, "index.php": true, "index.asp": true, "index.aspx": true, "default.aspx": true,
}

// Sameness is how much may differ between two addresses of one page.
type Sameness struct {
	IgnoreQuery bool // the query says nothing
	Similar     bool // neither do scheme, www., a trailing slash and the name of a directory's page
}

// Identity is what makes two addresses one page: equal for both, and of no other use.
func Identity(address string, o Sameness) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Path, _, _ = strings.Cut(u.Path, ";jsessionid=")
	u.RawPath = ""
	u.RawQuery = withoutSession(u.RawQuery)
	if o.IgnoreQuery {
		u.RawQuery = ""
	}
	if o.Similar {
		u.Scheme, u.Host = "", Bare(u)
		if dir, last := path.Split(u.Path); indexNames[strings.ToLower(last)] {
			u.Path = dir
		}
		u.Path = strings.TrimRight(u.Path, "/")
	}
	return u.String()
}

// Spellings are the other addresses of a directory's page: Identity takes all of them for one.
func Spellings(at *url.URL) (others []string) {
	dir, last := path.Split(at.Path)
	if last != "" && !indexNames[strings.ToLower(last)] || at.RawPath != "" {
		return nil
	}
	names := append(slices.Sorted(maps.Keys(indexNames)), "")
	for _, name := range names {
		if other := *at; name != last {
			other.Path = dir + name
			others = append(others, other.String())
		}
	}
	return others
}

func withoutSession(query string) string {
	if query == "" {
		return ""
	}
	kept := make([]string, 0, strings.Count(query, "&")+1)
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if !sessionParameters[strings.ToLower(name)] {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// assets are endings of addresses that lead to no page.
var assets = map[string]bool{
	".7z": true, ".apk": true, ".avi": true, ".avif": true, ".bin": true, ".bmp": true, ".bz2": true, ".css": true,
	".deb": true, ".dmg": true, ".eot": true, ".exe": true, ".gif": true, ".gz": true, ".ico": true, ".iso": true,
	".jar": true, ".jpeg": true, ".jpg": true, ".js": true, ".m4a": true, ".mkv": true, ".mov": true, ".mp3": true,
	".mp4": true, ".mpeg": true, ".mpg": true, ".msi": true, ".ogg": true, ".ogv": true, ".otf": true, ".png": true,
	".rar": true, ".rpm": true, ".svg": true, ".tar": true, ".tgz": true, ".tif": true, ".tiff": true, ".ttf": true,
	".wasm": true, ".wav": true, ".webm": true, ".webp": true, ".wmv": true, ".woff": true, ".woff2": true, ".xz": true,
	".zip": true,
}

// IsPage tells addresses that may lead to a page from those of pictures, archives and the like.
func IsPage(u *url.URL) bool { return !assets[strings.ToLower(path.Ext(u.Path))] }

// IsTrap tells addresses beyond the bounds.
func IsTrap(u *url.URL) bool {
	if len(u.String()) > MaxURL || strings.Count(u.RawQuery, "&") >= maxParameters {
		return true
	}
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(segments) > maxSegments {
		return true
	}
	seen := make(map[string]int, len(segments))
	for _, segment := range segments {
		if seen[segment]++; seen[segment] > maxRepeats {
			return true
		}
	}
	return false
}

// Bare is the host and port of an address without the www. that sites use with and without.
func Bare(u *url.URL) string { return strings.TrimPrefix(strings.ToLower(u.Host), "www.") }

// Registrable is the part of a name that somebody bought, or the name itself where there is none.
func Registrable(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return name // the list would take the last two numbers for a domain
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(name)); err == nil {
		return domain
	}
	return strings.ToLower(name)
}

// HostOf is the politeness unit: a host and its port, whatever the scheme.
func HostOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%w: no host", ErrNotCrawlable)
	}
	return strings.ToLower(u.Host), nil
}
