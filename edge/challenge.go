package edge

import (
	"bytes"
	"net/http"
	"strings"

	"sward/crawler/fetch"
)

// The kinds of challenge: a site that answers so does not trust the address that asks.
const (
	challengeCaptcha   = "captcha"      // the answer is a test for people
	challengeForbidden = "forbidden"    // 403
	challengeRate      = "rate_limited" // 429
	challengeBusy      = "unavailable"  // 503: overload, or a way to say the same
)

// challengeHead bounds how much of a page is searched, in bytes: the pages that test people are small, and begin with it.
const challengeHead = 64 << 10

// challengeHeaders are with which protection services say that they answer instead of the site. Each is documented by the
// service or seen on all of its tests: Cloudflare, AWS WAF, DataDome.
var challengeHeaders = map[string]string{
	"Cf-Mitigated":      "challenge",
	"X-Amzn-Waf-Action": "", // captcha or challenge
	"X-Datadome":        "protected",
}

// challengeMarks are in the pages of such tests, in lower case. They count only where the status says that something is
// wrong: the same scripts stand on many a page with a form.
var challengeMarks = [][]byte{
	[]byte("challenges.cloudflare.com"), []byte("cf-challenge"), []byte("captcha-delivery.com"), []byte("px-captcha"),
	[]byte("hcaptcha.com"), []byte("google.com/recaptcha"), []byte("g-recaptcha"), []byte("awswafcaptcha"), []byte("geetest"),
	[]byte("unusual traffic from your computer network"), []byte("_incapsula_resource"),
}

// challengeOf is what a crawled page's answer says of the address that asked, or "".
func challengeOf(r fetch.Result) string {
	switch r.Status {
	case 0, http.StatusNotModified:
		return ""
	}
	if r.Status >= 400 || r.Status == http.StatusAccepted { // with which AWS WAF sends its test
		if head, err := r.Header(); err == nil {
			for name, value := range challengeHeaders {
				if got := strings.ToLower(head.Get(name)); got != "" && (value == "" || got == value) {
					return challengeCaptcha
				}
			}
		}
		page := bytes.ToLower(r.Body[:min(len(r.Body), challengeHead)])
		for _, mark := range challengeMarks {
			if bytes.Contains(page, mark) {
				return challengeCaptcha
			}
		}
	}
	switch r.Status {
	case http.StatusForbidden:
		return challengeForbidden
	case http.StatusTooManyRequests:
		return challengeRate
	case http.StatusServiceUnavailable:
		return challengeBusy
	}
	return ""
}
