package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPagesAreServedWithStrictPolicies(t *testing.T) {
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"/openapi.json": `"openapi":`, "/docs": "Start a crawl", "/docs/style.css": "--ink", "/console": "<!doctype html>", "/console/style.css": "", "/console/app.js": "",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("GET %s = %d without %q", path, w.Code, says)
		}
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: policy %q", path, csp)
		}
		again := httptest.NewRequest(http.MethodGet, path, nil)
		again.Header.Set("If-None-Match", w.Header().Get("ETag"))
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, again); w.Code != http.StatusNotModified {
			t.Errorf("GET %s again = %d, want 304", path, w.Code)
		}
	}
}

func TestPathsWithASlashLeadToTheirPage(t *testing.T) {
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/docs", "/console"} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"/", nil)); w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != path {
			t.Errorf("GET %s/ = %d to %q, want 308 to %s", path, w.Code, w.Header().Get("Location"), path)
		}
	}
}
