package indexer

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const pageSize = 10 // results on a page for people

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// policy lets a page do nothing but show itself: no scripts, no images, nothing from elsewhere, and
// the one style sheet only as long as it is the one compiled in.
var policy = "default-src 'none'; style-src '" + styleHash(pageStyle) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func styleHash(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Handler serves GET /search for programs (JSON) and GET / for people (HTML).
func (x *Index) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /search", x.serveSearch)
	mux.HandleFunc("GET /{$}", x.servePage)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // a target must not learn what was searched for
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "private, max-age=60")
		mux.ServeHTTP(w, r)
	})
}

// The JSON of GET /search. Snippet is HTML: escaped text with <mark> around the words found; every
// other text is plain.
type (
	searchAnswer struct {
		Query   string         `json:"query"`
		Total   int            `json:"total"`
		Loose   bool           `json:"loose,omitempty"` // pages have some of the words, not all
		TookMS  float64        `json:"took_ms"`
		Results []searchResult `json:"results"`
	}
	searchResult struct {
		URL        string     `json:"url"`
		Title      string     `json:"title"`
		Snippet    string     `json:"snippet"`
		Score      float64    `json:"score"`
		Fetched    time.Time  `json:"fetched"`
		Language   string     `json:"language"`
		Provenance provenance `json:"provenance"`
	}
	provenance struct {
		Edge string `json:"edge"`
		Hash string `json:"hash"`
	}
	errorAnswer struct {
		Error errorBody `json:"error"`
	}
	errorBody struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
)

func (x *Index) serveSearch(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r.URL.Query())
	results, err := x.Search(r.Context(), q)
	if err != nil {
		status, body := x.explain(err)
		writeJSON(w, status, errorAnswer{body})
		return
	}
	answer := searchAnswer{
		Query: q.Text, Total: results.Total, Loose: results.Loose,
		TookMS: float64(results.Took.Microseconds()) / 1000, Results: make([]searchResult, 0, len(results.Hits)),
	}
	for _, h := range results.Hits {
		answer.Results = append(answer.Results, searchResult{
			URL: h.URL, Title: h.Title, Snippet: h.Snippet, Score: h.Score, Fetched: h.Fetched, Language: h.Language,
			Provenance: provenance{Edge: h.Edge, Hash: h.Hash},
		})
	}
	writeJSON(w, http.StatusOK, answer)
}

// queryOf reads a query. What is not a number becomes one that Search refuses, with the sentence
// that says what is allowed.
func queryOf(values url.Values) Query {
	q := Query{Text: values.Get("q")}
	if s := values.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n == 0 { // no results at all is not the default
			n = -1
		}
		q.Limit = n
	}
	if s := values.Get("offset"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			n = -1
		}
		q.Offset = n
	}
	return q
}

// explain turns an error into what the asker may know.
func (x *Index) explain(err error) (int, errorBody) {
	var refused *QueryError
	switch {
	case errors.As(err, &refused):
		return http.StatusBadRequest, errorBody{refused.Code, refused.Message}
	case errors.Is(err, ErrSearchBudget):
		return http.StatusServiceUnavailable, errorBody{"search_timeout", "The search took too long. Try fewer or rarer words."}
	}
	x.log.Error("search failed", "error", err)
	return http.StatusInternalServerError, errorBody{"internal", "The search failed."}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(v); err != nil { // cannot happen: v has plain fields only
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // an asker who has gone needs no answer
}

// pageView is what page.html shows.
type pageView struct {
	Style          template.CSS
	Query          string
	Asked          bool
	Results        Results
	Hits           []hitView
	Problem        string
	First, Last    int
	Previous, Next string // addresses of the neighbouring pages, empty where there is none
	Took           string
}

type hitView struct {
	Hit
	Snippet     template.HTML
	Shown       string // the address as people read it
	Date, Edge8 string
	Hash8       string
}

func (x *Index) servePage(w http.ResponseWriter, r *http.Request) {
	view := pageView{Style: template.CSS(pageStyle), Query: r.URL.Query().Get("q")}
	status := http.StatusOK
	if view.Query != "" {
		view.Asked = true
		q := queryOf(r.URL.Query())
		q.Limit = pageSize
		var err error
		if view.Results, err = x.Search(r.Context(), q); err != nil {
			var body errorBody
			status, body = x.explain(err)
			view.Problem, view.Query = body.Message, shorten(view.Query, MaxQuery)
		} else {
			view.fill(q)
		}
	}
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, view); err != nil {
		x.log.Error("cannot show search page", "error", err)
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

func (v *pageView) fill(q Query) {
	for _, h := range v.Results.Hits {
		hit := hitView{Hit: h, Snippet: template.HTML(h.Snippet), Shown: shown(h.URL), Edge8: ending(h.Edge), Hash8: beginning(h.Hash)}
		if hit.Title == "" {
			hit.Title = hit.Shown
		}
		if !h.Fetched.IsZero() && h.Fetched.Unix() > 0 {
			hit.Date = h.Fetched.Format("2 January 2006")
		}
		v.Hits = append(v.Hits, hit)
	}
	v.First, v.Last = q.Offset+1, q.Offset+len(v.Hits)
	v.Took = strconv.FormatFloat(v.Results.Took.Seconds(), 'f', 3, 64)
	at := func(offset int) string {
		return "./?" + url.Values{"q": {q.Text}, "offset": {strconv.Itoa(offset)}}.Encode()
	}
	if q.Offset > 0 {
		v.Previous = at(max(0, q.Offset-pageSize))
	}
	if next := q.Offset + pageSize; next < v.Results.Total && next <= MaxOffset {
		v.Next = at(next)
	}
}

// shown is an address without scheme, cut to what fits a line.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	s := u.Host + u.Path
	if len(s) > 80 {
		return shorten(s, 80) + "…"
	}
	return s
}

// An identity is told by its last characters (the first are the same for all), a hash by its first.
func ending(s string) string    { return s[max(0, len(s)-8):] }
func beginning(s string) string { return shorten(s, 12) }
