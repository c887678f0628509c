package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sward/edge"
	"sward/edge/diary"
	"sward/policy"
)

// logModel is what left the line on one day.
type logModel struct {
	shell
	Day, Today string
	Days       []string // newest first
	Older      string   // the day before this one that has lines
	Newer      string
	Lines      []logLine
	Damaged    int
	Up, Down   int64
	Streams    int64
	KeepDays   int
	Problem    string
}

// logLine is one line, and whether the owner may block its site or has.
type logLine struct {
	diary.Line
	Blockable, Blocked bool
}

var errNoDiary = errors.New("the edge is not running")

func (d *Dashboard) log(r *http.Request) any {
	m := logModel{shell: d.shell(r, "log"), Today: d.Clock().Format(time.DateOnly)}
	settings := d.Edge.Settings()
	m.KeepDays = settings.KeepDays
	m.Day = m.Today
	if day, err := diary.ParseDay(r.URL.Query().Get("day")); err == nil {
		m.Day = day
	}
	book := d.Edge.Diary()
	if book == nil {
		m.Problem = sentence(errNoDiary.Error())
		return m
	}
	days, err := book.Days()
	if err == nil {
		var lines []diary.Line
		lines, m.Damaged, err = book.Lines(m.Day)
		m.add(lines, settings.Policy.Deny)
	}
	if err != nil {
		m.Problem = sentence(err.Error())
	}
	if !slices.Contains(days, m.Today) {
		days = append([]string{m.Today}, days...)
	}
	m.Days = days
	for _, day := range days { // newest first
		if day > m.Day {
			m.Newer = day
		}
		if day < m.Day && m.Older == "" {
			m.Older = day
		}
	}
	return m
}

func (m *logModel) add(lines []diary.Line, denied []string) {
	for _, l := range lines {
		m.Lines = append(m.Lines, logLine{
			Line: l, Blockable: l.Site != diary.Addresses && l.Site != diary.OtherSites, Blocked: slices.Contains(denied, l.Site),
		})
		m.Up, m.Down, m.Streams = m.Up+l.Up, m.Down+l.Down, m.Streams+l.Streams
	}
}

// getExport hands out the lines of one day, or of all, as a file.
func (d *Dashboard) getExport(w http.ResponseWriter, r *http.Request) {
	book := d.Edge.Diary()
	if book == nil {
		http.Error(w, errNoDiary.Error(), http.StatusServiceUnavailable)
		return
	}
	days, name := []string{r.URL.Query().Get("day")}, "sward-"+r.URL.Query().Get("day")
	var err error
	if days[0] == "" {
		name = "sward-all"
		days, err = book.Days()
	} else if days[0], err = diary.ParseDay(days[0]); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	all := []diary.Line{}
	for _, day := range days {
		if err != nil {
			break
		}
		var lines []diary.Line
		lines, _, err = book.Lines(day)
		all = append(all, lines...)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	write, kind, ending := diary.WriteCSV, "text/csv; charset=utf-8", ".csv"
	if strings.HasSuffix(r.URL.Path, ".json") {
		write, kind, ending = diary.WriteJSON, "application/json", ".json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name+ending))
	if err := write(w, all); err != nil {
		d.Log.Debug("an export was not taken", "err", err)
	}
}

// postForget deletes one day, or everything when no day is named.
func (d *Dashboard) postForget(w http.ResponseWriter, r *http.Request) {
	book := d.Edge.Diary()
	if book == nil {
		http.Error(w, errNoDiary.Error(), http.StatusServiceUnavailable)
		return
	}
	forget := book.ForgetAll
	if text := r.PostFormValue("day"); text != "" {
		day, err := diary.ParseDay(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		forget = func() error { return book.Forget(day) }
	}
	if err := forget(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/log?done=forgotten", http.StatusSeeOther)
}

// postBlock adds a site to what the owner denies, or takes it out again.
func (d *Dashboard) postBlock(w http.ResponseWriter, r *http.Request) {
	site, day := r.PostFormValue("site"), r.PostFormValue("day")
	if _, err := policy.ParseHost(site); err != nil {
		http.Error(w, "that is not a site", http.StatusBadRequest)
		return
	}
	if _, err := diary.ParseDay(day); err != nil {
		day = ""
	}
	done := "blocked"
	err := d.change(func(s *edge.Settings) error {
		deny := slices.DeleteFunc(slices.Clone(s.Policy.Deny), func(rule string) bool { return rule == site })
		if r.PostFormValue("undo") != "" {
			done = "unblocked"
		} else {
			deny = append(deny, site)
		}
		s.Policy.Deny = deny
		return nil
	})
	if err != nil {
		d.again(w, r, pageNamed("log"), http.StatusUnprocessableEntity, sentence(err.Error()))
		return
	}
	http.Redirect(w, r, "/log?day="+day+"&done="+done, http.StatusSeeOther)
}
