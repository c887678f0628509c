package testnet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sward/internal/testnet"
)

// ours are the shapes that have no field but those that the description names: whoever adds one describes it. The others
// are open, as Firecrawl's are.
var ours = []string{"Failure", "Status", "PageError", "Provenance"}

// TestAPIAnswersAsItsDescriptionSays calls what /openapi.json describes and holds each answer to it.
func TestAPIAnswersAsItsDescriptionSays(t *testing.T) {
	testnet.Run(t, testnet.Config{Edges: 3}, func(ctx context.Context, n *testnet.Net) {
		d := readDescription(ctx, t, n)
		site := n.Info().Site
		d.call("POST", "/v2/scrape", "", map[string]any{"url": site + "/", "formats": []string{"markdown", "html", "rawHtml", "links", "images"}}, 200)
		d.call("POST", "/v2/scrape", "", map[string]any{"url": "ftp://example.org/"}, 400)
		d.call("POST", "/v2/scrape", "", map[string]any{"url": site + "/internal/"}, 403)
		crawl := d.call("POST", "/v2/crawl", "", map[string]any{"url": site + "/", "limit": 8}, 200)["id"].(string)
		d.call("POST", "/v2/crawl", "", map[string]any{"url": site + "/", "limit": -8}, 400)
		d.call("GET", "/v2/crawl/active", "", nil, 200)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if d.call("GET", "/v2/crawl/{id}", crawl, nil, 200)["status"] != "scraping" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the crawl has not ended after a minute")
			}
		}
		d.call("GET", "/v2/crawl/{id}/errors", crawl, nil, 200)
		d.call("DELETE", "/v2/crawl/{id}", crawl, nil, 409)
		d.call("POST", "/v2/batch/scrape", "", map[string]any{"urls": []string{site + "/", "ftp://x"}}, 200)
		d.call("POST", "/v2/map", "", map[string]any{"url": site + "/", "limit": 5}, 200)
		d.call("POST", "/v2/search", "", map[string]any{"query": "relay", "limit": 2}, 200)
		for _, path := range []string{
			"/v2/jobs", "/v2/team/credit-usage", "/v2/team/credit-usage/historical", "/v2/team/token-usage", "/v2/team/token-usage/historical",
			"/v2/team/queue-status", "/v2/team/activity", "/v2/concurrency-check",
		} {
			d.call("GET", path, "", nil, 200)
		}
		d.call("GET", "/v2/crawl/{id}", "0b8b0e44-0000-4000-8000-000000000000", nil, 404)
		slow := d.call("POST", "/v2/crawl", "", map[string]any{"url": site + "/", "delay": 5}, 200)["id"].(string)
		d.call("DELETE", "/v2/crawl/{id}", slow, nil, 200)
		d.key = "wrong"
		d.call("GET", "/v2/crawl/active", "", nil, 401)
	})
}

// described is the description with the API it is of.
type described struct {
	t         *testing.T
	ctx       context.Context //nolint:containedctx // of one test
	api, key  string
	document  map[string]any
	compiler  *jsonschema.Compiler
	container string
}

func readDescription(ctx context.Context, t *testing.T, n *testnet.Net) *described {
	t.Helper()
	d := &described{t: t, ctx: ctx, api: n.Info().API, key: n.Info().Key, container: "openapi.json", compiler: jsonschema.NewCompiler()}
	status, text := d.send("GET", "/openapi.json", nil)
	read, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET /openapi.json = %d, %v", status, err)
	}
	d.document = read.(map[string]any)
	schemas := d.at("components", "schemas")
	for _, name := range ours {
		schemas[name].(map[string]any)["additionalProperties"] = false
	}
	if err := d.compiler.AddResource(d.container, d.document); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *described) at(keys ...string) map[string]any {
	d.t.Helper()
	here := d.document
	for _, key := range keys {
		next, ok := here[key].(map[string]any)
		if !ok {
			d.t.Fatalf("the description has no %s", strings.Join(keys, " / "))
		}
		here = next
	}
	return here
}

func (d *described) send(method, path string, body any) (int, []byte) {
	d.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			d.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(d.ctx, method, d.api+path, in)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer.StatusCode, text
}

// call sends a request and holds status and body to what the description says of this path and method.
func (d *described) call(method, path, id string, body any, want int) map[string]any {
	d.t.Helper()
	status, text := d.send(method, strings.Replace(path, "{id}", id, 1), body)
	if status != want {
		d.t.Fatalf("%s %s = %d %s, want %d", method, path, status, text, want)
	}
	operation := d.at("paths", path, strings.ToLower(method))
	responses := operation["responses"].(map[string]any)
	response, ok := responses[strconv.Itoa(want)].(map[string]any)
	if !ok {
		d.t.Fatalf("%s %s: the description does not know status %d", method, path, want)
	}
	place := "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(want)
	if ref, ok := response["$ref"].(string); ok {
		place = ref
	}
	schema, err := d.compiler.Compile(d.container + place + "/content/application~1json/schema")
	if err != nil {
		d.t.Fatal(err)
	}
	got, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		d.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	if err := schema.Validate(got); err != nil {
		d.t.Errorf("%s %s: %v", method, path, err)
	}
	return got.(map[string]any)
}
