package edge

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"size":  func(n int64) string { return humanSize(n) },
	"clock": func(t time.Time) string { return t.Local().Format("Jan 2 15:04") },
	"sum":   func(a, b int64) int64 { return a + b },
}).ParseFS(pageFiles, "page/*.html"))

func renderPage(w http.ResponseWriter, s Status) { render(w, "status.html", s) }

func renderLogin(w http.ResponseWriter, problem string) { render(w, "login.html", problem) }

func render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	pages.ExecuteTemplate(w, name, data) //nolint:errcheck // the browser went away; a test executes every template
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, "page/style.css")
}

// humanSize rounds for people; exact counts are in the JSON.
func humanSize(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.2f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
