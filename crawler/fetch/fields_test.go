package fetch

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

func TestFieldsGoWhereTheyBelong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		sent := map[string]string{}
		record := func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			sent[r.Host+r.URL.Path] = strings.TrimSpace(r.Header.Get("If-None-Match") + " " + r.Header.Get("Signature"))
			mu.Unlock()
			switch r.URL.Path {
			case robotsPath:
				http.NotFound(rw, r)
			case "/away":
				http.Redirect(rw, r, "http://other.example/end", http.StatusFound)
			case "/on":
				http.Redirect(rw, r, "/end", http.StatusFound)
			}
		}
		w.site("site.example:80", record)
		w.site("other.example:80", record)
		fetchAll(t, New(w.config()), Batch{
			URLs: []string{"http://site.example/plain", "http://site.example/away", "http://site.example/on"},
			Fields: []wire.Field{
				{Index: 1, Name: wire.FieldIfNoneMatch, Value: `"1"`}, {Index: 2, Name: wire.FieldIfNoneMatch, Value: `"2"`},
				{Index: wire.AllURLs, Name: wire.FieldSignature, Value: "sig"},
			},
		})
		want := map[string]string{
			"site.example/robots.txt": "sig", "site.example/plain": "sig", "site.example/away": `"1" sig`, "site.example/on": `"2" sig`,
			"site.example/end": "sig", "other.example/robots.txt": "", "other.example/end": "",
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("fields by request (-want +got):\n%s", diff)
		}
	})
}

func TestBatchWithOtherFieldsIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for name, f := range map[string]wire.Field{
			"unknown name":    {Name: 99, Value: "x"},
			"no such URL":     {Index: 1, Name: wire.FieldIfNoneMatch, Value: "x"},
			"injected header": {Name: wire.FieldIfNoneMatch, Value: "x\r\nCookie: a=b"},
			"too long":        {Name: wire.FieldIfNoneMatch, Value: strings.Repeat("x", wire.MaxFieldValue+1)},
		} {
			b := Batch{URLs: []string{"http://site.example/"}, Fields: []wire.Field{f}}
			err := New(w.config()).Fetch(t.Context(), b, func(Result) error { return nil })
			if got := wire.CodeOf(err); got != wire.BadRequest {
				t.Errorf("%s: code %v (%v), want bad_request", name, got, err)
			}
		}
	})
}
