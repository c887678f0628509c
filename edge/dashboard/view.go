package dashboard

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sward/edge"
	"sward/internal/wire"
)

// page is one of the dashboard's places. Its template has the same name as its file; live names the parts of it that an
// open browser is sent whenever they change, each a template of its own and the content of the element that has its name
// in data-live.
type page struct {
	Name, Path, Title, Icon string

	Hidden bool // not in the menu
	live   []string
	model  func(*Dashboard, *http.Request) any
}

// pages are in the order of the menu. They are set by init because each page's model shows all of them.
var pages []page

func init() {
	pages = []page{
		{Name: "now", Path: "/", Title: "Now", Icon: "home", live: []string{"now-state", "now-act", "now-notes", "now-graph", "now-caps", "now-facts", "now-sites"}, model: (*Dashboard).now},
		{Name: "log", Path: "/log", Title: "What left", Icon: "list", model: (*Dashboard).log},
		{Name: "earnings", Path: "/earnings", Title: "Earnings", Icon: "coin", model: (*Dashboard).earnings},
		{Name: "line", Path: "/line", Title: "My line", Icon: "pulse", live: []string{"line-seal", "line-quality", "line-relays", "line-reached", "line-home"}, model: (*Dashboard).line},
		{Name: "settings", Path: "/settings", Title: "Settings", Icon: "sliders", model: (*Dashboard).settings},
		{Name: "consent", Path: "/consent", Title: "Before you share", Hidden: true, model: (*Dashboard).consent},
	}
}

// shell is what the frame around every page needs. Models embed it.
type shell struct {
	Page   *page
	Pages  []page
	Status edge.Status
	State  state
	Time   time.Time
	Told   string // of what was just done, for the owner to read
	Fault  string // of what was just refused
}

func (d *Dashboard) shell(r *http.Request, name string) shell {
	s := d.Edge.Status(r.Context())
	now := d.Clock()
	return shell{
		Page: pageNamed(name), Pages: pages, Status: s, State: stateOf(s, now), Time: now,
		Told: tidings[r.URL.Query().Get("done")], Fault: faultOf(r),
	}
}

func pageNamed(name string) *page {
	for i := range pages {
		if pages[i].Name == name {
			return &pages[i]
		}
	}
	return nil
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"size":          edge.HumanSize,
	"usize":         func(n uint64) string { return edge.HumanSize(int64(min(n, math.MaxInt64))) },
	"mbit":          mbit,
	"clock":         func(t time.Time) string { return t.Local().Format("2 Jan, 15:04") },
	"hour":          func(t time.Time) string { return t.Local().Format("15:04") },
	"day":           dayOf,
	"sum":           func(a, b int64) int64 { return a + b },
	"usum":          func(a, b uint64) uint64 { return a + b },
	"atleast1":      func(n uint64) uint64 { return max(n, 1) },
	"percent":       func(part float64) string { return fmt.Sprintf("%.0f %%", part*100) },
	"tenths":        func(part float64) string { return fmt.Sprintf("%.1f %%", part*100) },
	"millis":        func(ms float64) string { return fmt.Sprintf("%.0f ms", ms) },
	"thousands":     thousands,
	"first":         first[edge.Use],
	"firstRefusals": first[edge.Refusal],
	"count":         count,
	"words":         words,
	"listed":        listed,
	"tallied":       tallied,
	"sentence":      sentence,
	"short":         func(id fmt.Stringer) string { return id.String()[:8] },
	"points":        points,
	"cap":           capOf,
	"connected":     connected,
	"refused":       refused,
	"icon":          icon,
	"box":           func(name, label, text string, on bool) Choice { return Choice{name, label, text, on} },
	"tick":          func(name, value string, c Choice, now string) tickModel { return tickModel{c, name, value, now} },
	"field":         func(name, label, unit, value string) fieldModel { return fieldModel{name, label, unit, value} },
	"knob":          func(name, label, text string, on bool) Choice { return Choice{name, label, text, on} },
}).ParseFS(pageFiles, "page/*.html"))

// tickModel is a box to tick, under the name and the value that its form sends.
type tickModel struct {
	Choice
	Name, Value, Now string
}

// fieldModel is a field for a number.
type fieldModel struct{ Name, Label, Unit, Value string }

// show answers with a page. Before the owner has agreed, the first one is what they are to read.
func (d *Dashboard) show(w http.ResponseWriter, r *http.Request, p *page) {
	if p.Path == "/" && d.Edge.Status(r.Context()).Why == wire.NoConsent.Name() {
		http.Redirect(w, r, "/consent", http.StatusSeeOther)
		return
	}
	d.render(w, p.Name+".html", p.model(d, r))
}

func (d *Dashboard) render(w http.ResponseWriter, name string, model any) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, model); err != nil {
		d.Log.Error("a page cannot be made", "page", name, "err", err)
		http.Error(w, "this page cannot be made; the agent's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(out.Bytes()) //nolint:errcheck // the browser went away
}

// mbit is a rate as lines are sold by: Mbit/s.
func mbit(bits float64) string {
	switch m := bits / 1e6; {
	case m >= 100:
		return fmt.Sprintf("%.0f", m)
	case m >= 10:
		return fmt.Sprintf("%.1f", m)
	default:
		return fmt.Sprintf("%.2f", m)
	}
}

// dayOf reads a day as people would.
func dayOf(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("Mon 2 Jan 2006")
}

// thousands is 12 345 with thin spaces that do not break.
func thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

func first[T any](n int, of []T) []T { return of[:min(n, len(of))] }

// count is "1 connection", "3 connections".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// words reads a name of the network's as people would: "search-index" is "search index".
func words(name string) string {
	return spelling.Replace(strings.NewReplacer("-", " ", "_", " ").Replace(name))
}

// spelling is for names whose letters are words.
var spelling = strings.NewReplacer("ai training", "AI training", "seo monitoring", "SEO monitoring", "tor vpn mining", "Tor, VPN and mining", "signup sms", "sign-up and SMS", "quic", "QUIC", "tcp", "TCP", "captcha", "CAPTCHA")

// listed is the names of a count, in order.
func listed(counts map[string]int) string {
	names := slices.Sorted(maps.Keys(counts))
	for i, name := range names {
		names[i] = words(name)
	}
	return strings.Join(names, ", ")
}

// tallied is the names of a count with their numbers, the largest first.
func tallied(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", words(name), counts[name])
	}
	return strings.Join(names, ", ")
}

// sentence makes an error one.
func sentence(err string) string {
	if err == "" {
		return ""
	}
	return strings.ToUpper(err[:1]) + strings.TrimSuffix(err[1:], ".") + "."
}

// points are shown to the hundredth: the millionths are in the receipts.
func points(s fmt.Stringer) string {
	text := s.String()
	if dot := strings.IndexByte(text, '.'); dot >= 0 && len(text) > dot+3 {
		return text[:dot+3]
	}
	return text
}
