package dashboard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"sward/edge"
)

// change edits the settings that are in force and puts them in force. Two changes at once both count: each edits what the
// other left.
func (d *Dashboard) change(edit func(*edge.Settings) error) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	s := d.Edge.Settings()
	s.Policy.Apps, s.Policy.Purposes = slices.Clone(s.Policy.Apps), slices.Clone(s.Policy.Purposes)
	s.Policy.Categories, s.Policy.Hours = maps.Clone(s.Policy.Categories), maps.Clone(s.Policy.Hours)
	if err := edit(&s); err != nil {
		return err
	}
	return d.Edge.Change(s)
}

// faultKey is under which a request carries what was wrong with it to the page that is shown again.
type faultKey struct{}

// again shows a page with what was wrong, and with the status of a refusal.
func (d *Dashboard) again(w http.ResponseWriter, r *http.Request, p *page, status int, fault string) {
	r = r.WithContext(context.WithValue(r.Context(), faultKey{}, fault))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	d.show(w, r, p)
}

func faultOf(r *http.Request) string {
	fault, _ := r.Context().Value(faultKey{}).(string)
	return fault
}

// tidings is what a page says after a change; the address carries the name, so that nobody can put words in it.
var tidings = map[string]string{
	"agreed":    "Thank you. Sharing begins within a few seconds.",
	"blocked":   "Blocked. Running connections to it are cut, and new ones are refused.",
	"unblocked": "No longer blocked by you.",
	"forgotten": "Deleted. The key of it is gone.",
	"saved":     "Saved, and in force.",
	"household": "Done.",
}

// changed answers a form: with the page it came from, where the change is told, or with what was wrong.
func (d *Dashboard) changedBy(w http.ResponseWriter, r *http.Request, section string, edit func(*edge.Settings) error) {
	if err := d.change(edit); err != nil {
		d.again(w, r, pageNamed("settings"), http.StatusUnprocessableEntity, fmt.Sprintf("Nothing is changed. %s", sentence(err.Error())))
		return
	}
	http.Redirect(w, r, "/settings?done=saved#"+section, http.StatusSeeOther)
}
