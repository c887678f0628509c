package crawler

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"sward/crawler/crawltest"
)

// termed is a site of four pages whose headers say what may be done with them.
func termed(t *testing.T) *crawltest.Network {
	t.Helper()
	mux := http.NewServeMux()
	site := crawltest.Site{"/": crawltest.Page("root", "/free", "/reserved", "/silent", "/sold")}
	mux.Handle("/", site)
	for path, terms := range map[string]string{"/free": "ai-train=yes, ai-input=yes", "/reserved": "ai-train=no, ai-input=no", "/silent": ""} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			if terms != "" {
				w.Header().Set("Content-Signal", terms)
			}
			fmt.Fprint(w, crawltest.Page(path))
		})
	}
	mux.HandleFunc("/sold", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Crawler-Price", "USD 0.01")
		w.WriteHeader(http.StatusPaymentRequired)
	})
	return crawltest.New(t, mux)
}

func TestPurposeOfAJobDecidesWhatIsWithheld(t *testing.T) {
	p := start(t, config(termed(t), t.TempDir()))
	researcher := Account{ID: "id-r", Name: "r", Purpose: "market-research"}
	for _, c := range []struct {
		account Account
		order   object
		want    []string
		code    string // of /reserved
	}{
		{researcher, object{}, []string{"/", "/free", "/reserved", "/silent"}, ""},
		{researcher, object{"purpose": "search"}, []string{"/", "/free", "/reserved", "/silent"}, ""},
		{researcher, object{"purpose": "ai-input"}, []string{"/", "/free", "/silent"}, codeReserved},
		{researcher, object{"purpose": "ai-train"}, []string{"/", "/free", "/silent"}, codeReserved},
		{researcher, object{"policy": object{"require": []string{"ai-train"}}}, []string{"/free"}, codeGranted},
		{trainer, object{}, []string{"/", "/free", "/silent"}, codeReserved},
		{trainer, object{"purpose": "search"}, []string{"/", "/free", "/silent"}, codeReserved}, // it was vetted for training
	} {
		p.account = c.account
		c.order["url"], c.order["sitemap"] = root, "skip"
		job, documents := p.crawl(c.order)
		if got := paths(documents); !slices.Equal(got, c.want) {
			t.Errorf("%s, %v: got %v, want %v", c.account.Purpose, c.order, got, c.want)
		}
		if job.Completed != len(c.want) {
			t.Errorf("%s, %v: %d pages are charged, want %d", c.account.Purpose, c.order, job.Completed, len(c.want))
		}
		codes := map[string]PageError{}
		for _, e := range p.failed(job) {
			codes[e.URL] = e
		}
		if got := codes[root+"reserved"]; got.Code != c.code {
			t.Errorf("%s, %v: /reserved is reported as %+v, want %q", c.account.Purpose, c.order, got, c.code)
		}
		if got := codes[root+"sold"]; got.Code != codePayment || got.Price != "USD 0.01" || got.Owner != "target" {
			t.Errorf("%s, %v: /sold is reported as %+v, want %s with its price", c.account.Purpose, c.order, got, codePayment)
		}
	}
}

func TestPageForSaleIsNoScrape(t *testing.T) {
	p := start(t, config(termed(t), t.TempDir()))
	job, documents := p.result(p.begin(Scrape, object{"url": root + "sold"}))
	if list := p.failed(job); len(documents) != 0 || job.Completed != 0 || len(list) != 1 || list[0].Code != codePayment {
		t.Errorf("got %d documents and %v, want %s alone", len(documents), list, codePayment)
	}
}

func TestPurposeIsOneOfThree(t *testing.T) {
	for _, o := range []Order{{Purpose: "training"}, {Policy: Policy{Require: []string{"ai-train", "all"}}}} {
		if err := o.check(); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
