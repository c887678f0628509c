package rights

import (
	"net/http"
	"testing"
)

func TestRightsAreReadAsTheMostRestrictive(t *testing.T) {
	tests := []struct {
		name, header, value, meta    string
		noIndex, noFollow, noTrained bool
	}{
		{name: "nothing"},
		{name: "meta none", meta: "none", noIndex: true, noFollow: true},
		{name: "meta list", meta: "max-snippet:50, noindex", noIndex: true},
		{name: "header", header: "X-Robots-Tag", value: "noarchive, nofollow", noFollow: true},
		{name: "another crawler", header: "X-Robots-Tag", value: "googlebot: noindex, nofollow"},
		{name: "our name", header: "X-Robots-Tag", value: "SwardBot: noindex", noIndex: true},
		{name: "noai", header: "X-Robots-Tag", value: "noai, noimageai", noTrained: true},
		{name: "usage", header: "Content-Usage", value: "train-ai=n", noTrained: true},
		{name: "usage allowed", header: "Content-Usage", value: "train-ai=y"},
		{name: "signal", header: "Content-Signal", value: "search=yes, ai-train=no", noTrained: true},
		{name: "tdm", header: "TDM-Reservation", value: "1", noTrained: true},
		{name: "tdm open", header: "TDM-Reservation", value: "0"},
		{name: "header denies what meta allows", header: "X-Robots-Tag", value: "noindex", meta: "index, follow", noIndex: true},
	}
	for _, test := range tests {
		h := http.Header{}
		if test.header != "" {
			h.Set(test.header, test.value)
		}
		r := Read(h, test.meta)
		if r.NoIndex() != test.noIndex || r.NoFollow() != test.noFollow || r.Forbids(purposeTraining) != test.noTrained {
			t.Errorf("%s: got noindex %v, nofollow %v, no training %v, want %v, %v, %v", test.name,
				r.NoIndex(), r.NoFollow(), r.Forbids(purposeTraining), test.noIndex, test.noFollow, test.noTrained)
		}
		if r.Forbids("search-index") {
			t.Errorf("%s: got search forbidden, want only training judged", test.name)
		}
	}
}
