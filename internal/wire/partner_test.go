package wire

import (
	"strings"
	"testing"
)

func TestPartnerNameIsNoLoginWithParameters(t *testing.T) {
	for name, want := range map[string]string{
		"acme": "", "acme-labs": "", "a.c_m-e": "", "Acme-2": "", strings.Repeat("n", 64): "", "country_de": "", "sessions": "",
		"":                      "1 to 64 letters",
		strings.Repeat("n", 65): "1 to 64 letters",
		"ac me":                 "1 to 64 letters",
		"acmé":                  "1 to 64 letters",
		"acme:x":                "1 to 64 letters",
		"brd-customer-acme":     `begin with "brd-customer-"`,
		"customer-acme":         `begin with "customer-"`,
		"package-acme":          `begin with "package-"`,
		"acme__cr":              "two underscores",
		"acme-session":          `hold "session"`,
		"country-acme":          `hold "country"`,
		"a-Hard-case":           `hold "Hard"`,
		"acme-res":              `hold "res"`,
	} {
		err := CheckPartnerName(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", name, err, want)
		}
		if err != nil && CodeOf(err) != BadRequest {
			t.Errorf("%q: got %s, want bad_request", name, CodeOf(err))
		}
	}
}
