package console

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"sward/crawler"
	"sward/crawler/api"
)

// TestDescriptionNamesWhatTheCrawlerTakesAndGives holds the shapes to the Go types that are read and written.
func TestDescriptionNamesWhatTheCrawlerTakesAndGives(t *testing.T) {
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		shape   string
		of      any
		unnamed []string // of the type, and not a partner's business
	}{
		{shape: "ScrapeOptions", of: crawler.ScrapeOptions{}, unnamed: []string{"headers", "waitFor", "mobile", "actions"}}, // not honoured, and said so
		{shape: "CrawlOrder", of: crawler.Order{}, unnamed: []string{"urls"}},                                               // a batch's
		{shape: "Document", of: crawler.Document{}},
		{shape: "Provenance", of: crawler.Provenance{}},
		{shape: "PageError", of: crawler.PageError{}},
	} {
		described := append(propertiesOf(d, c.shape), c.unnamed...)
		written := fieldsOf(reflect.TypeOf(c.of))
		for _, name := range written {
			if !slices.Contains(described, name) {
				t.Errorf("%s: %T has %s, which openapi.yaml does not describe", c.shape, c.of, name)
			}
		}
		for _, name := range described {
			if !slices.Contains(written, name) {
				t.Errorf("%s: openapi.yaml describes %s, which %T does not have", c.shape, name, c.of)
			}
		}
	}
}

func propertiesOf(d *description, shape string) []string {
	var names []string
	for _, f := range d.fields(d.Components.Schemas.of[shape]) {
		names = append(names, f.Name)
	}
	return names
}

func fieldsOf(of reflect.Type) []string {
	var names []string
	for f := range of.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, fieldsOf(f.Type)...)
		case name != "-":
			names = append(names, name)
		}
	}
	return names
}

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	operations, err := d.operations()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, o := range operations {
		if o.ID == "" || ids[o.ID] || o.Summary == "" || len(o.Tags) != 1 || len(o.Responses.keys) == 0 {
			t.Errorf("%s %s: a name of its own, a summary, one tag and answers are wanted", o.Method, o.Path)
		}
		ids[o.ID] = true
	}
	have := map[string]bool{}
	for _, name := range d.Components.Schemas.keys {
		have["#/components/schemas/"+name] = true
	}
	for name := range d.Components.Parameters {
		have["#/components/parameters/"+name] = true
	}
	for name := range d.Components.RequestBodies {
		have["#/components/requestBodies/"+name] = true
	}
	for name := range d.Components.Responses {
		have["#/components/responses/"+name] = true
	}
	for i, part := range strings.Split(string(source), `$ref: "`) {
		if ref, _, _ := strings.Cut(part, `"`); i > 0 && !have[ref] {
			t.Errorf("openapi.yaml refers to %s, which it does not have", ref)
		}
	}
}

// TestEveryCallIsDescribedAndServed compares with the API's own table. Version 1 is described by version 2.
func TestEveryCallIsDescribedAndServed(t *testing.T) {
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	operations, err := d.operations()
	if err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for _, o := range operations {
		if o.Path != "/v1/usage" { // the hub's, beside the crawl API
			described = append(described, o.Method+" "+o.Path)
		}
	}
	aliases := []string{
		"/v2/crawl/ongoing",                                                           // of active
		"/v2/batch/scrape/{id}/export",                                                // of the crawl's: one namespace
		"DELETE /v2/crawl/{id}/errors", "DELETE /v2/batch/scrape/{id}/errors", "HEAD", // for clients that are known to ask so
	}
	for _, r := range api.Routes() {
		call := r.Method + " " + r.Path
		if !strings.HasPrefix(r.Path, "/v1/") && !slices.ContainsFunc(aliases, func(a string) bool { return strings.Contains(call, a) }) {
			served = append(served, call)
		}
	}
	for _, call := range served {
		if !slices.Contains(described, call) {
			t.Errorf("%s is served and not described", call)
		}
	}
	for _, call := range described {
		if !slices.Contains(served, call) {
			t.Errorf("%s is described and not served", call)
		}
	}
}
