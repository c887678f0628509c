package dashboard

import (
	"embed"
	"html/template"
	"net/http"
	"time"

	"sward/edge"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"size":  edge.HumanSize,
	"clock": func(t time.Time) string { return t.Local().Format("Jan 2 15:04") },
	"sum":   func(a, b int64) int64 { return a + b },
}).ParseFS(pageFiles, "page/*.html"))

func renderPage(w http.ResponseWriter, s edge.Status) { render(w, "status.html", s) }

func renderLogin(w http.ResponseWriter, problem string) { render(w, "login.html", problem) }

func render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	pages.ExecuteTemplate(w, name, data) //nolint:errcheck // the browser went away; a test executes every template
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, "page/style.css")
}
